// Signing in and out, refused commands, views and replay, as types.
import {
  createClient, defineStream, defineView, event, SyncError,
  type Client, type Connection, type EventRejection, type InferEvent, type Offset, type StandardSchema, type StorageStatus,
} from "tidelog";

declare const Address: StandardSchema<{ city: string; street: string }>;

export const Orders = defineStream({
  events: { ordered: event<{ sku: string; cents: number }>(), shipped: Address, cancelled: event() },
  upcast: {
    placed: (old: { type: string; payload: { sku: string; euros: number } }) =>
      ({ type: "ordered", payload: { sku: old.payload.sku, cents: old.payload.euros * 100 } }),
    viewed: () => null,
  },
});

export const Turnover = defineView(Orders, {
  name: "turnover",
  revision: 2,
  initial: { open: 0, cents: 0 },
  reduce: (sum, e) =>
    e.type === "ordered" ? { open: sum.open + 1, cents: sum.cents + e.payload.cents }
    : e.type === "cancelled" ? { ...sum, open: sum.open - 1 }
    : sum,
});

export const Cities = defineView(Orders, {
  name: "cities",
  initial: [] as string[],
  reduce: (cities, e) => (e.type === "shipped" && !cities.includes(e.payload.city) ? [...cities, e.payload.city] : cities),
});

export async function exportCsv(client: Client, shop: string, since: Offset | null, report: (part: number) => void, signal: AbortSignal) {
  const orders = client.stream(Orders, `shops/${shop}/orders`);
  const rows: string[] = [];
  let last = since;
  for await (const e of orders.read({ ...(since === null ? {} : { after: since }), onProgress: report, signal })) {
    if (e.type === "ordered") rows.push(`${e.id},${e.author},${new Date(e.time).toISOString()},${e.payload.sku},${e.payload.cents}`);
    last = e.offset;
  }
  return { rows, last };
}

export function half(r: EventRejection<InferEvent<typeof Orders>>): void {
  if (r.event.type === "ordered") r.retry({ type: "ordered", payload: { ...r.event.payload, cents: r.event.payload.cents / 2 } });
}

export function allRefused(client: Client): string[] {
  return client.rejections.getSnapshot().map((r) => `${r.stream}: ${r.kind === "event" ? r.event.type : `${r.patches.length} edits`} (${r.reason})`);
}

const clients = new Map<string, Client>();
function clientOf(user: string): Client {
  const known = clients.get(user);
  if (known) return known;
  const made = createClient({
    url: "wss://relay.example/sync",
    database: "boards",
    user,
    token: async ({ refused }) => {
      const answer = await fetch(refused ? "/token?fresh" : "/token");
      return answer.ok ? answer.text() : null;
    },
  });
  clients.set(user, made);
  return made;
}

export async function signOut(user: string, forget: boolean): Promise<"done" | "unsent"> {
  const client = clientOf(user);
  await client.flush({ signal: AbortSignal.timeout(5000) }).catch(() => undefined);
  if (forget && client.status.getSnapshot().savedOn !== "relay") return "unsent";
  if (forget) await client.deleteLocalData();
  else await client.close();
  clients.delete(user);
  return "done";
}

export function connectionText(c: Connection): string {
  switch (c.state) {
    case "idle": return "";
    case "offline": return "Offline";
    case "connecting": return "Connecting…";
    case "connected": return "Online";
    case "waiting": return `Next try ${new Date(c.retryAt).toLocaleTimeString()}`;
    case "needs-auth": return "Please sign in again";
    case "stopped": return c.error.code === "outdated-app" ? "Please reload" : c.error.message;
    case "closed": return "Signed out";
  }
}

export const storageText = (s: StorageStatus): string | null =>
  s.error?.code === "storage-full" ? "This device is full: the last change is not saved"
  : s.durability === "memory" ? "Private window: nothing is kept after closing it"
  : s.low ? "Storage is running low"
  : s.durability === "best-effort" ? "The browser may delete offline data"
  : null;

export const textOf = (error: unknown): string => (error instanceof SyncError ? `${error.code}: ${error.message}` : "Something broke");
