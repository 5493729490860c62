/** What must be true when everything has healed: of what pages show, and then of what is on all disks. */
import type { Fate } from "./ledger.js";
import type { Shared, Shown, ShownEvent } from "./page/shapes.js";
import { DOCUMENTS, STREAMS } from "./page/shapes.js";
import type { Loss, Rollback } from "./world.js";

/** What the driver knows of a round: nothing that a page or a disk could have got wrong. */
export interface Known {
  readonly ledger: { readonly fates: ReadonlyMap<string, Fate> };
  readonly losses: readonly Loss[];
  readonly rollbacks: readonly Rollback[];
  /** The device that each clone was copied from. */
  readonly originals: ReadonlyMap<string, string>;
}

/** What `read-log` says of the relay's store. */
export interface StoreFile {
  readonly problems: readonly string[];
  readonly streams: readonly {
    readonly name: string;
    readonly head: number;
    readonly events: readonly { readonly offset: number; readonly id: string; readonly kind: number; readonly payload: unknown }[];
    readonly refused: readonly string[];
    readonly document: null | { readonly value: Shared; readonly heads: readonly string[]; readonly skipped: number; readonly waiting: number };
  }[];
}

/** What a device shows that was killed and started again with no network. */
export interface DeviceDisk {
  readonly device: string;
  readonly shown: Shown;
  readonly logs: Readonly<Record<string, readonly ShownEvent[]>>;
}

export interface Verdict {
  readonly problems: readonly string[];
  readonly writes: number;
  readonly saved: number;
  readonly accepted: number;
  readonly rejected: number;
  /** How often each rule excused a write that is gone. */
  readonly excused: Readonly<Record<string, number>>;
}

/** JSON that is the same for the same value. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** What keeps pages from being healed and equal, or null. */
export function differences(pages: readonly (readonly [string, Shown])[]): string | null {
  const [first] = pages;
  if (first === undefined) return "there is no page";
  for (const [name, page] of pages) {
    if (page.connection !== "connected") return `${name} is ${page.connection}`;
    if (page.savedOn !== "relay" || page.pending > 0) return `${name} has ${page.pending} writes that are not on the relay (${page.savedOn})`;
    if (page.errors.length > 0) return `${name} complains: ${page.errors.join(" ")}`;
    if (page.behind > 0) return `${name} is behind in ${page.behind} streams`;
    for (const [stream, { phase, value, heads }] of Object.entries(page.documents)) {
      const other = first[1].documents[stream];
      if (phase !== "ready" || value === undefined) return `${name}: ${stream} is ${phase}`;
      if (canonical(value) !== canonical(other?.value)) return `${first[0]} and ${name} show different ${stream}`;
      if (canonical(heads) !== canonical(other?.heads)) return `${first[0]} and ${name} have different heads of ${stream}`;
    }
    for (const [stream, { phase, events }] of Object.entries(page.views)) {
      if (phase !== "ready") return `${name}: ${stream} is ${phase}`;
      if (events.some(({ pending }) => pending)) return `${name}: ${stream} shows something pending`;
      if (canonical(events) !== canonical(first[1].views[stream]?.events)) return `${first[0]} and ${name} show different ${stream}`;
    }
  }
  return null;
}

/** Compares all disks with each other and with the ledger. */
export function judge(known: Known, store: StoreFile, disks: readonly DeviceDisk[]): Verdict {
  const problems = [...store.problems.map((problem) => `the relay's store: ${problem}`)];
  for (const disk of disks) problems.push(...diskProblems(disk, store));
  const found = countTokens(store, problems);
  const excused: Record<string, number> = {};
  const fates = [...known.ledger.fates.values()];
  for (const fate of fates) {
    const said = fateProblem(known, fate, found.get(fate.token) ?? 0, disks);
    if (said === null) continue;
    if (said.excuse === null) problems.push(`${fate.token} in ${fate.stream}: ${said.problem} (${JSON.stringify({ ...fate, ids: [...fate.ids] })})`);
    else excused[said.excuse] = (excused[said.excuse] ?? 0) + 1;
  }
  for (const token of found.keys()) if (!known.ledger.fates.has(token)) problems.push(`${token} is in the log, and nobody wrote it`);
  return {
    problems,
    writes: fates.length,
    saved: fates.filter(({ savedAt }) => savedAt !== null).length,
    accepted: fates.filter(({ acceptedAt }) => acceptedAt !== null).length,
    rejected: fates.filter(({ rejected }) => rejected !== null).length,
    excused,
  };
}

/** Where a device's disk is not what the relay's log makes. */
function diskProblems({ device, shown, logs }: DeviceDisk, store: StoreFile): string[] {
  const problems: string[] = [];
  const complain = (what: string): unknown => problems.push(`the disk of ${device}: ${what}`);
  if (shown.pending > 0) complain(`${shown.pending} writes wait in the outbox`);
  for (const stream of store.streams) {
    const document = shown.documents[stream.name];
    if (document !== undefined) {
      if (stream.document === null) complain(`${stream.name} is in no log`);
      else if (canonical(document.value) !== canonical(stream.document.value)) complain(`${stream.name} is not the document that the relay's log makes: ${canonical(document.value)}, ${canonical(stream.document.value)}`);
      else if (canonical(document.heads) !== canonical(stream.document.heads)) complain(`${stream.name} has other heads than the relay's log: ${document.heads.join(" ")}, ${stream.document.heads.join(" ")}`);
      continue;
    }
    const wanted = stream.events.map(({ id, payload }) => ({ id, token: tokenOf(payload) }));
    if (canonical(logs[stream.name]) !== canonical(wanted)) complain(`${stream.name} is not the relay's log: ${canonical(logs[stream.name])}, ${canonical(wanted)}`);
    const view = shown.views[stream.name]?.events.map(({ id, token }) => ({ id, token }));
    if (canonical(view) !== canonical(wanted)) complain(`the view of ${stream.name} is not the relay's log`);
  }
  return problems;
}

function tokenOf(payload: unknown): string {
  return (payload as { payload?: { token?: string } }).payload?.token ?? "";
}

/** How often each token stands in the relay's log: in its events, and in the documents that its changes make. */
function countTokens(store: StoreFile, problems: string[]): Map<string, number> {
  const found = new Map<string, number>();
  const count = (token: string): unknown => found.set(token, (found.get(token) ?? 0) + 1);
  for (const stream of store.streams) {
    if ((STREAMS as readonly string[]).includes(stream.name)) {
      for (const { payload } of stream.events) count(tokenOf(payload));
      continue;
    }
    if (!(DOCUMENTS as readonly string[]).includes(stream.name) || stream.document === null) continue;
    const { value, waiting } = stream.document;
    if (waiting > 0) problems.push(`${stream.name}: ${waiting} changes of the log wait for others that are not in it`);
    const tokens = value.text.match(/\[[^[\]]*\]/g) ?? [];
    if (tokens.join("") !== value.text) problems.push(`${stream.name}: its text is not made of whole tokens: ${value.text}`);
    for (const token of [...tokens, ...Object.keys(value.items), ...value.list]) count(token);
  }
  return found;
}

/** What is wrong with the fate of one write, and the rule that excuses it; null: nothing. */
function fateProblem(known: Known, fate: Fate, count: number, disks: readonly DeviceDisk[]): { problem: string; excuse: string | null } | null {
  const bad = (problem: string, excuse: string | null = null): { problem: string; excuse: string | null } => ({ problem, excuse });
  if (count > 1) return bad(`it is in the log ${count} times`);
  const rejectedOn = disks.filter(({ device, shown }) => shown.rejections.some((rejection) => {
    // By content: two copies of a device may both have begun with the same id. What a refused change held may not have been worked out.
    const isById = rejection.text === "[]" && device === fate.device && fate.ids.has(rejection.id);
    return rejection.stream === fate.stream && (isById || rejection.text.includes(fate.token));
  })).map(({ device }) => device);
  if (count === 1 && fate.refused) return bad("the relay's rules refuse it, and it is in the log");
  if (count === 1 && rejectedOn.length > 0) return bad(`it is in the log, and among the rejections of ${rejectedOn.join(", ")}`);
  if (count === 1 || fate.savedAt === null) return null;
  if (rejectedOn.some((device) => rootOf(known, device) === rootOf(known, fate.device))) {
    if (fate.acceptedAt === null) return null;
    return bad("it was accepted, and then rejected", hasCopies(known, fate.device) ? "rejected to a copy of its profile" : null);
  }
  return bad(fate.acceptedAt === null ? "it was saved, and is neither in the log nor rejected" : "it was accepted, and is not in the log", excuseOf(known, fate));
}

/** The rule by which a write that was saved may be gone. */
function excuseOf(known: Known, { device, savedAt, acceptedAt }: Fate): string | null {
  if (savedAt === null) return null;
  const loss = known.losses.find(({ from, to, device: name }) => name === device && from <= savedAt && savedAt < to);
  if (loss === undefined) return null;
  if (acceptedAt === null) return loss.rule;
  const rollback = known.rollbacks.some(({ from, to }) => from <= acceptedAt && acceptedAt < to);
  return rollback ? `${loss.rule}, and relay rolled back` : null;
}

/** Whether a profile was ever in use twice: a clone, or an older copy in place of the newer one. */
function hasCopies(known: Known, device: string): boolean {
  const isCopied = [...known.originals].some((pair) => pair.some((name) => rootOf(known, name) === rootOf(known, device)));
  return isCopied || known.losses.some((loss) => loss.rule === "profile rolled back" && rootOf(known, loss.device) === rootOf(known, device));
}

/** The device that a chain of clones began with. */
function rootOf(known: Known, device: string): string {
  const original = known.originals.get(device);
  return original === undefined ? device : rootOf(known, original);
}
