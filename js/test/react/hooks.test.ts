// @vitest-environment happy-dom
/** The hooks: what they show, when they render, and what moves with the client. */
import { act, Component, createElement as h, memo, StrictMode, Suspense, type ReactNode } from "react";
import { createRoot, hydrateRoot, type Root } from "react-dom/client";
import { renderToString } from "react-dom/server";
import { afterEach, expect, test, vi } from "vitest";
import { createClient, defineDocument, defineStream, defineView, event, type Snapshot, type SyncError } from "../../src/index.js";
import { shallowEqual, TidelogProvider, useClient, useDocument, useRejections, useStore, useStream, useSuspenseDocument, useSyncStatus, useView } from "../../src/react/index.js";
import { eventually, settle, World } from "../world.js";

vi.mock("../../src/document/index.js", () => import("../fake-document.js"));
(globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;

interface Note { title: string; body: string; tags?: readonly string[] }
const Note = defineDocument<Note>({ defaults: { title: "", body: "" } });
const Orders = defineStream({ events: { paid: event<{ amount: number }>() } });
const Sum = defineView(Orders, { name: "sum", initial: 0, reduce: (sum, { payload }) => sum + payload.amount });

const roots: Root[] = [];
afterEach(async () => {
  for (const root of roots.splice(0)) await act(async () => root.unmount());
  document.body.replaceChildren();
});

function inPage(html = ""): HTMLElement {
  const page = document.createElement("div");
  page.innerHTML = html;
  return document.body.appendChild(page);
}

async function show(node: ReactNode, page = inPage()): Promise<{ readonly page: HTMLElement; readonly show: (node: ReactNode) => Promise<void> }> {
  const root = createRoot(page);
  roots.push(root);
  const render = (node: ReactNode): Promise<void> => act(async () => root.render(node));
  await render(node);
  return { page, show: render };
}

/** Until the page says this; React works off what it was told meanwhile. */
async function says(page: HTMLElement, text: string): Promise<void> {
  for (let tries = 0; page.textContent !== text; tries += 1) {
    if (tries > 100) expect(page.textContent).toBe(text);
    await act(() => settle(10));
  }
}

/** A document of this name that the relay has answered for. */
async function opened(world: World, name: string): Promise<void> {
  await act(() => eventually(() => world.engine !== undefined && world.engine.at(name).open));
  await act(async () => world.engine.answer(name, false));
}

function Title({ name }: { readonly name: string | null }): ReactNode {
  const { status, data, document } = useDocument(Note, name, ({ title }) => title);
  if (status !== "ready") return status;
  return h("button", { onClick: () => document.change((draft) => { draft.title += "!"; }) }, `<${data}>`);
}

test("a document is loading, then there; a change shows at once; without a name it is idle", async () => {
  const world = new World();
  const client = world.client();
  const app = (name: string | null): ReactNode => h(StrictMode, null, h(TidelogProvider, { client }, h(Title, { name })));
  const { page, show: again } = await show(app(null));
  expect(page.textContent).toBe("idle");
  expect(world.engine).toBeUndefined();
  await again(app("n"));
  expect(page.textContent).toBe("loading");
  await opened(world, "n");
  await says(page, "<>");
  act(() => page.querySelector("button")!.click());
  expect(page.textContent).toBe("<!>");
  await again(app("other"));
  expect(page.textContent).toBe("loading");
});

test("a component renders only when what it selected changed: of 1,000 rows one", async () => {
  const world = new World();
  const client = world.client();
  const Table = defineDocument<Record<string, number>>({ defaults: Object.fromEntries(Array.from({ length: 1000 }, (_, row) => [`r${row}`, 0])) });
  const renders = new Map<string, number>();
  const Row = memo(({ row }: { readonly row: string }): ReactNode => {
    const { data } = useDocument(Table, "table", (table) => table[row]);
    renders.set(row, (renders.get(row) ?? 0) + 1);
    return data;
  });
  const Keys = (): ReactNode => {
    const { data = [] } = useDocument(Table, "table", (table) => Object.keys(table), shallowEqual);
    renders.set("keys", (renders.get("keys") ?? 0) + 1);
    return data.map((row) => h(Row, { key: row, row }));
  };
  const { page } = await show(h(TidelogProvider, { client }, h(Keys)));
  await opened(world, "table");
  await says(page, "0".repeat(1000));
  renders.clear();
  await act(async () => void client.document(Table, "table").change((draft) => { draft["r7"] = 5; }));
  expect(page.textContent).toBe(`${"0".repeat(7)}5${"0".repeat(992)}`);
  expect(Object.fromEntries(renders)).toEqual({ r7: 1 });
});

test("a view shows pending events, and a refused one goes and is told", async () => {
  const world = new World();
  const client = world.client();
  const Total = (): ReactNode => {
    const { data } = useView(Sum, "orders");
    return `${data}, refused ${useRejections().length}, ${useSyncStatus(({ savedOn }) => savedOn)}`;
  };
  const { page } = await show(h(TidelogProvider, { client }, h(Total)));
  await opened(world, "orders");
  await says(page, "0, refused 0, relay");
  await act(async () => void client.stream(Orders, "orders").append({ type: "paid", payload: { amount: 7 } }));
  expect(page.textContent).toContain("7, refused 0");
  await says(page, "7, refused 0, device");
  await act(async () => world.engine.refuse("orders", "no-money", "not enough"));
  await says(page, "0, refused 1, relay");
});

test("useStream keeps a stream open and never renders again", async () => {
  const world = new World();
  const client = world.client();
  let renders = 0;
  const Payer = (): ReactNode => {
    const stream = useStream(Orders, "orders");
    renders += 1;
    return stream.name;
  };
  const { page } = await show(h(TidelogProvider, { client }, h(Payer)));
  await opened(world, "orders");
  await act(async () => void client.stream(Orders, "orders").append({ type: "paid", payload: { amount: 7 } }));
  await act(() => settle());
  expect(page.textContent).toBe("orders");
  expect(renders).toBe(1);
  expect(world.engine.at("orders").open).toBe(true);
});

test("Suspense waits for a document, and an error boundary is told why there is none", async () => {
  const world = new World();
  const client = world.client();
  const caught: SyncError[] = [];
  class Boundary extends Component<{ readonly children: ReactNode }, { readonly error: SyncError | null }> {
    override state = { error: null as SyncError | null };
    static getDerivedStateFromError = (error: SyncError) => ({ error });
    override componentDidCatch(error: SyncError): void {
      caught.push(error);
    }
    override render(): ReactNode {
      return this.state.error?.code ?? this.props.children;
    }
  }
  const Body = (): ReactNode => useSuspenseDocument(Note, "n", ({ title }) => `<${title}>`).data;
  vi.spyOn(console, "error").mockImplementation(() => undefined); // React tells of the error that the boundary caught
  const { page } = await show(h(TidelogProvider, { client }, h(Boundary, null, h(Suspense, { fallback: "waits" }, h(Body)))));
  expect(page.textContent).toBe("waits");
  await opened(world, "n");
  await says(page, "<>");
  await act(() => client.close());
  await says(page, "closed");
  expect(caught.map(({ code }) => code)).toEqual(["closed"]);
  vi.restoreAllMocks();
});

test("another client moves every hook over, and shows nothing of the old one", async () => {
  const [one, two] = [new World(), new World()];
  const [ann, ben] = [one.client(), two.client()];
  const seen: string[] = [];
  const Watch = (): ReactNode => {
    const { status, data } = useDocument(Note, "n", ({ title }) => title);
    const text = `${useClient() === ann ? "ann" : "ben"} ${status} ${data}`;
    seen.push(text);
    return text;
  };
  const { page, show: again } = await show(h(TidelogProvider, { client: ann }, h(Watch)));
  await opened(one, "n");
  await act(async () => void ann.document(Note, "n").change((draft) => { draft.title = "secret"; }));
  await says(page, "ann ready secret");
  await again(h(TidelogProvider, { client: ben }, h(Watch)));
  expect(page.textContent).toBe("ben loading undefined");
  await opened(two, "n");
  await says(page, "ben ready ");
  expect(seen.filter((text) => text.startsWith("ben") && text.includes("secret"))).toEqual([]);
});

test("on a server it is loading, or what the server knows, which stays until this device has something", async () => {
  const onServer = createClient({ database: "test" });
  const name = "n";
  expect(renderToString(h(TidelogProvider, { client: onServer }, h(Title, { name })))).toBe("loading");
  const serverSnapshots = { n: { title: "from the server", body: "" } satisfies Snapshot<Note> };
  const html = renderToString(h(TidelogProvider, { client: onServer, serverSnapshots }, h(Title, { name })));
  expect(html).toContain("from the server");

  const world = new World();
  const client = world.client();
  const page = inPage(html);
  const errors = vi.spyOn(console, "error");
  await act(async () => void roots.push(hydrateRoot(page, h(TidelogProvider, { client, serverSnapshots }, h(Title, { name })))));
  expect(page.textContent).toBe("<from the server>");
  expect(errors).not.toHaveBeenCalled();
  await opened(world, name);
  await says(page, "<>");
  errors.mockRestore();
});

test("useStore takes any store, or none; shallowEqual keeps what a selector builds anew", async () => {
  const world = new World();
  const client = world.client();
  let renders = 0;
  const Badge = ({ isOn }: { readonly isOn: boolean }): ReactNode => {
    const both = useStore(isOn ? client.status : null, ({ savedOn, pending }) => ({ savedOn, pending }), shallowEqual);
    renders += 1;
    return both === undefined ? "none" : `${both.savedOn} ${both.pending}`;
  };
  const { page, show: again } = await show(h(Badge, { isOn: false }));
  expect(page.textContent).toBe("none");
  await again(h(Badge, { isOn: true }));
  await says(page, "relay 0");
  await act(() => eventually(() => client.status.getSnapshot().connection.state === "connected"));
  await act(() => settle());
  const before = renders;
  await act(async () => world.engine.tellStatus());
  expect(renders).toBe(before);
  expect([shallowEqual([1], [1]), shallowEqual([1], { 0: 1 }), shallowEqual(new Date(1), new Date(2)), shallowEqual({ a: 1 }, { a: 1, b: 2 })]).toEqual([true, false, false, false]);
});

test("a hook without a provider says what is missing", async () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  await expect(show(h(Title, { name: "n" }))).rejects.toThrow("<TidelogProvider");
  vi.restoreAllMocks();
});
