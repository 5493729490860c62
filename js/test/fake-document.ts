/** A document layer of top-level keys, the last writer wins: enough to see what a handle does with the layer's answers. */
import type { Commit, CommitOptions, Committed, Dropped, EditOptions, Inspected, OpenOptions, Patch, RemoteStep, Skipped, Snapshot, Step, WithoutStep } from "../src/document/types.js";
import { DocumentError } from "../src/document/values.js";

interface Change {
  hash: string;
  deps: string[];
  sets: Record<string, unknown>;
  /** Whoever made it; none for another device's. */
  actor?: string;
  /** The hash of a change whose number this one has. */
  takes?: string;
}

let hashes = 0;
const encode = (change: Change): Uint8Array => new TextEncoder().encode(JSON.stringify(change));
const decode = (bytes: Uint8Array): Change | null => {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as Change;
  } catch {
    return null;
  }
};
const patchesOf = (sets: Record<string, unknown>): Patch[] => Object.entries(sets).map(([key, value]) => ({ action: "put", path: [key], value }));

/** A change that another device would have made. */
export function foreignChange(sets: Record<string, unknown>, deps: string[] = [], takes?: string): Uint8Array {
  hashes += 1;
  return encode({ hash: `foreign${hashes}`, deps, sets, ...(takes === undefined ? {} : { takes }) });
}

export function hashOf(payload: Uint8Array): string {
  return decode(payload)!.hash;
}

export const layer = { loads: 0, opened: [] as OpenOptions[], actors: [] as string[], replaced: 0, failing: null as Error | null };

export async function loadDocumentModule(): Promise<{ ready: true }> {
  layer.loads += 1;
  if (layer.failing !== null) throw layer.failing;
  return { ready: true };
}

export class DocumentState<T extends object> {
  opened!: RemoteStep<T>;
  snapshot: Snapshot<T>;
  readonly #defaults: object;
  #changes: Change[] = [];
  readonly #leftOut = new Set<string>();
  #open: Record<string, unknown> = {};
  #actor = "actor";

  constructor(options: OpenOptions) {
    this.#defaults = options.defaults ?? {};
    this.snapshot = this.#fold();
  }

  static open<T extends object>(_module: unknown, options: OpenOptions): DocumentState<T> {
    layer.opened.push(options);
    const state = new DocumentState<T>(options);
    state.opened = state.applyRemote(options.payloads ?? []);
    return state;
  }

  get uncommitted(): boolean {
    return Object.keys(this.#open).length > 0;
  }

  change(edit: (draft: T) => void, options: EditOptions = {}): Step<T> | null {
    const draft: Record<string, unknown> = { ...(this.snapshot as object) };
    edit(draft as T);
    options.validate?.(draft);
    const sets = Object.fromEntries(Object.entries(draft).filter(([key, value]) => value !== (this.snapshot as Record<string, unknown>)[key]));
    if (Object.values(sets).some((value) => typeof value === "function")) throw new DocumentError("invalid-value", "a function cannot be stored");
    if (Object.keys(sets).length === 0) return null;
    const before = this.snapshot;
    Object.assign(this.#open, sets);
    this.snapshot = this.#fold();
    return { before, after: this.snapshot, patches: patchesOf(sets) };
  }

  commit(_options: CommitOptions): Commit | null {
    if (!this.uncommitted) return null;
    hashes += 1;
    const change = { hash: `own${hashes}`, deps: this.#changes.length > 0 ? [this.#changes.at(-1)!.hash] : [], sets: this.#open, actor: this.#actor };
    this.#changes.push(change);
    this.#open = {};
    return { hash: change.hash, bytes: encode(change), first: [] };
  }

  applyRemote(payloads: readonly Uint8Array[]): RemoteStep<T> {
    if (this.uncommitted) throw new Error("there are uncommitted edits");
    const before = this.snapshot;
    const skipped: Skipped[] = [];
    const displaced: Dropped[] = [];
    const sets = {};
    payloads.forEach((payload, index) => {
      const change = decode(payload);
      if (change === null) return void skipped.push({ index, reason: "malformed", hash: null });
      if (this.#changes.some(({ hash }) => hash === change.hash)) return;
      const reason = this.#changes.some(({ takes }) => takes === change.hash) ? "sequence-taken" : change.deps.some((dep) => this.#leftOut.has(dep)) ? "needs-left-out" : null;
      if (reason !== null) {
        this.#leftOut.add(change.hash);
        return void skipped.push({ index, reason, hash: change.hash });
      }
      if (change.takes !== undefined) displaced.push(...this.without([change.takes]).dropped);
      this.#changes.push(change);
      Object.assign(sets, change.sets);
    });
    if (Object.keys(sets).length > 0) this.snapshot = this.#fold();
    return { before, after: this.snapshot, patches: patchesOf(sets), skipped, displaced, replayed: 0, waiting: 0, rebuilt: 0 };
  }

  without(refused: readonly string[]): WithoutStep<T> {
    const before = this.snapshot;
    const gone = new Set(refused);
    const dropped: Dropped[] = [];
    this.#changes = this.#changes.filter((change) => {
      if (!gone.has(change.hash) && !change.deps.some((dep) => gone.has(dep))) return true;
      gone.add(change.hash);
      dropped.push({ hash: change.hash, patches: patchesOf(change.sets) });
      return false;
    });
    if (dropped.length > 0) this.snapshot = this.#fold();
    return { before, after: this.snapshot, patches: [], dropped };
  }

  retry(patches: readonly Patch[], _options: Partial<CommitOptions> = {}): Step<T> | null {
    return this.change((draft) => {
      for (const patch of patches) if (patch.action === "put") (draft as Record<string, unknown>)[String(patch.path[0])] = patch.value;
    });
  }

  takeActor(actor: Uint8Array): boolean {
    if (this.uncommitted) throw new Error("there are uncommitted edits");
    this.#actor = [...actor].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    layer.actors.push(this.#actor);
    return true;
  }

  logReplaced(): void {
    if (this.uncommitted) throw new Error("there are uncommitted edits");
    layer.replaced += 1;
  }

  static editsOf(_module: unknown, payload: Uint8Array): readonly Patch[] {
    return patchesOf(decode(payload)?.sets ?? {});
  }

  inspect(payload: Uint8Array): Inspected | null {
    const change = decode(payload);
    return change === null ? null : { hash: change.hash, actor: change.actor ?? "another's", isFirst: false };
  }

  import(payloads: readonly Uint8Array[]): { step: Step<T>; changes: readonly Committed[] } {
    const step = this.applyRemote(payloads);
    return { step, changes: step.before === step.after ? [] : payloads.map((bytes) => ({ hash: hashOf(bytes), bytes })) };
  }

  export(): Uint8Array {
    return encode({ hash: "file", deps: [], sets: this.snapshot as Record<string, unknown> });
  }

  close(): void {
    this.#changes = [];
  }

  #fold(): Snapshot<T> {
    return Object.freeze(Object.assign({}, this.#defaults, ...this.#changes.map(({ sets }) => sets), this.#open)) as Snapshot<T>;
  }
}

/** A file is a change here. */
export async function changesOf(_module: unknown, file: Uint8Array): Promise<readonly Uint8Array[]> {
  if (decode(file) === null) throw new DocumentError("invalid-value", "no file");
  return [file];
}

export function splice(): void {
  throw new Error("not in this layer");
}

export const updateText = splice;
