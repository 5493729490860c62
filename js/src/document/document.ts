/** One open document: Automerge state in the module, and its snapshot here. */
import { Recorder, type DraftSource } from "./draft.js";
import { encodeDefaults } from "./encode.js";
import { guarded, type DocumentModule, type Operation, type RawApplied, type RawCommit, type RawCommitted, type RawDropped, type RawPatch, type WasmDocument } from "./module.js";
import { retryPatches, toRetryablePatch } from "./retry.js";
import { applyPatches, frozen, toPatch } from "./snapshot.js";
import { SharedText } from "./text.js";
import type {
  Commit, CommitOptions, Committed, ConflictingValue, Dropped, EditOptions, Heads, HistoryEntry, Inspected, OpenOptions, Patch, Path, RemoteStep,
  Snapshot, Step, TextState, WithoutStep,
} from "./types.js";
import { DocumentError } from "./values.js";

/**
 * One open document. No clock, no randomness, no network, no storage: whoever owns it says when edits become a change
 * (`commit`) and what came from elsewhere (`applyRemote`).
 */
export class DocumentState<T extends object> {
  /** What opening did with the payloads. */
  readonly opened: RemoteStep<T>;
  readonly #module: DocumentModule;
  readonly #wasm: WasmDocument;
  readonly #texts = new Map<string, SharedText>();
  #snapshot: Snapshot<T>;
  #uncommitted = false;
  #editing = false;

  private constructor(module: DocumentModule, wasm: WasmDocument) {
    this.#module = module;
    this.#wasm = wasm;
    const opened = wasm.opened();
    this.#snapshot = frozen(wasm.value()) as Snapshot<T>;
    this.opened = remoteStep(makeStep(this.#snapshot, this.#snapshot, []), opened);
  }

  /** Throws `invalid-value` for defaults that cannot be stored. */
  static open<T extends object>(module: DocumentModule, options: OpenOptions): DocumentState<T> {
    const { actor, defaults = {}, payloads = [], pending = 0 } = options;
    const encoded = encodeDefaults(defaults);
    return guarded(() => new DocumentState<T>(module, new module.Document(actor, encoded, payloads, pending)));
  }

  get snapshot(): Snapshot<T> {
    return this.#snapshot;
  }

  /** True while there are edits that `commit` has not closed into a change. */
  get uncommitted(): boolean {
    return this.#uncommitted;
  }

  /** Runs `edit` on a draft. If it throws, or a value cannot be stored, nothing is applied. Null: it changed nothing. */
  change(edit: (draft: T) => void, { validate, ...options }: EditOptions = {}): Step<T> | null {
    const operations = this.#draft("change", this.#snapshot, undefined, edit, validate);
    return operations.length === 0 ? null : this.#record(operations, null, options);
  }

  /** Closes what `change` did since the last commit into one Automerge change. Null: there was nothing. */
  commit({ time, message }: CommitOptions): Commit | null {
    const commit = guarded(() => this.#wasm.commit(Math.floor(time / 1000), message));
    this.#uncommitted = false;
    return commit === undefined ? null : toCommit(commit);
  }

  /** Applies payloads of the log, own ones included: those count as seen. There must be no uncommitted edits. */
  applyRemote(payloads: readonly Uint8Array[]): RemoteStep<T> {
    this.#committed();
    const applied = guarded(() => this.#wasm.apply(payloads));
    return remoteStep(this.#step(applied[0], null), applied);
  }

  /**
   * Writes under this actor (16 bytes) from now on; nobody else may. False, and not done, where its numbers are in doubt: a
   * change of it was left out here, or waits for others. There must be no uncommitted edits.
   */
  takeActor(actor: Uint8Array): boolean {
    this.#committed();
    return guarded(() => this.#wasm.takeActor(actor));
  }

  /** What comes from now on is of another log, from its beginning. There must be no uncommitted edits. */
  logReplaced(): void {
    this.#committed();
    guarded(() => this.#wasm.logReplaced());
  }

  /** The edits of a change that is in no document, to show them or make them again. `payloads` hold what it was made on top of. */
  static editsOf(module: DocumentModule, payload: Uint8Array, payloads: readonly Uint8Array[]): readonly Patch[] {
    return guarded(() => module.Document.editsOf(payload, payloads)).map(toRetryablePatch);
  }

  /** Takes refused changes out, with all that depends on them. */
  without(hashes: readonly string[]): WithoutStep<T> {
    this.#committed();
    const [patches, dropped] = guarded(() => this.#wasm.without(hashes));
    return extend(this.#step(patches, null), { dropped: dropped.map(toDropped) });
  }

  /** Makes dropped edits again on the document as it is now, as far as their places still exist; then `commit`. */
  retry(patches: readonly Patch[], options: Partial<CommitOptions> = {}): Step<T> | null {
    return this.change((draft) => retryPatches(draft, patches), options);
  }

  /** A string of the document. Throws `invalid-value` if there is none at `path`. */
  text(path: Path): TextState {
    const found = guarded(() => this.#wasm.find(path));
    if (found?.[1] !== "text") throw new DocumentError("invalid-value", "there is no collaborative string at this path");
    const [id] = found;
    const shared = this.#texts.get(id) ?? new SharedText(id, () => this.#wasm.text(id));
    this.#texts.set(id, shared);
    const own: TextState = {
      get value() {
        return shared.value;
      },
      splice: (splices, options = {}) => {
        const operations = splices.map(({ index, deleteCount, insert }): Operation => [4, id, index, deleteCount, insert.toWellFormed()]);
        return this.#record(operations, own, options);
      },
      onSplice: (listener) => shared.listen(own, listener),
      cursorAt: (index) => guarded(() => this.#wasm.cursorAt(id, index)),
      indexOf: (cursor) => guarded(() => this.#wasm.indexOf(id, cursor)) ?? null,
    };
    return own;
  }

  /** All values at a place that were written at the same time; empty when there are less than two. */
  conflicts(path: Path): readonly ConflictingValue[] {
    return guarded(() => this.#wasm.conflicts(path)).map(([value, actor, winner]) => ({ value: frozen(value), actor, winner }));
  }

  heads(): Heads {
    this.#committed();
    return guarded(() => this.#wasm.heads()) as unknown as Heads;
  }

  /** Throws `history-cut` for unknown heads, as all that takes heads. */
  viewAt(heads: Heads): Snapshot<T> {
    this.#committed();
    return frozen(guarded(() => this.#wasm.valueAt(heads))) as Snapshot<T>;
  }

  /** Makes a change as if back then, at once committed. Null: it changed nothing. */
  changeAt(heads: Heads, edit: (draft: T) => void, options: CommitOptions & EditOptions): { step: Step<T>; commit: Commit } | null {
    const operations = this.#draft("changeAt", this.viewAt(heads), heads, edit, options.validate);
    if (operations.length === 0) return null;
    const changed = guarded(() => this.#wasm.changeAt(heads, operations, Math.floor(options.time / 1000), options.message));
    return changed === undefined ? null : { step: this.#step(changed[1], null), commit: toCommit(changed[0]) };
  }

  diff(from: Heads, to: Heads): readonly Patch[] {
    this.#committed();
    return guarded(() => this.#wasm.diff(from, to)).map(toPatch);
  }

  /** Newest first. */
  changes(): Iterable<HistoryEntry> {
    this.#committed();
    return guarded(() => this.#wasm.changes()).map(([hash, actor, time, message]) => ({ heads: [hash] as unknown as Heads, actor, time: time * 1000, message }));
  }

  /** What a payload is, without applying it; null if it is no change. */
  inspect(payload: Uint8Array): Inspected | null {
    const found = guarded(() => this.#module.Document.inspect(payload));
    return found === undefined ? null : { hash: found[0], actor: found[1], isFirst: found[2] };
  }

  /** The whole document as an Automerge file. There must be no uncommitted edits. */
  export(): Uint8Array {
    this.#committed();
    return guarded(() => this.#wasm.exportFile());
  }

  /** Merges changes of an Automerge file (`changesOf`). `changes` are those that were new, as payloads of events, in order. */
  import(payloads: readonly Uint8Array[]): { step: Step<T>; changes: readonly Committed[] } {
    this.#committed();
    const [applied, changes] = guarded(() => this.#wasm.import(payloads));
    return { step: this.#step(applied[0], null), changes: changes.map(toCommitted) };
  }

  /** Frees the memory of the module. The last snapshot stays. */
  close(): void {
    this.#wasm.free();
  }

  // -------------------------------------------------------------------------------------------------------------- inside

  /** Runs an edit on a draft of a snapshot; gives what it recorded. */
  #draft(method: "change" | "changeAt", snapshot: Snapshot<T>, heads: Heads | undefined, edit: (draft: T) => void, validate: EditOptions["validate"]): readonly Operation[] {
    if (this.#editing) throw new DocumentError("invalid-value", `\`${method}\` of a document within an edit of the same document`);
    const source: DraftSource = {
      child: (object, key) => this.#wasm.child(object, key, heads),
      kind: (object, key) => this.#wasm.kind(object, key, heads),
    };
    const recorder = new Recorder(snapshot as object, source);
    this.#editing = true;
    try {
      const returned: unknown = edit(recorder.root as T);
      if (typeof (returned as { then?: unknown } | undefined)?.then === "function") {
        throw new DocumentError("invalid-value", `the edit of \`${method}\` must be synchronous: what it does after an await would be lost`);
      }
      if (recorder.operations.length > 0) validate?.(recorder.result());
    } finally {
      recorder.close();
      this.#editing = false;
    }
    return recorder.operations;
  }

  #record(operations: readonly Operation[], source: object | null, { time = 0, message }: Partial<CommitOptions>): Step<T> {
    const patches = guarded(() => this.#wasm.record(operations, Math.floor(time / 1000), message));
    this.#uncommitted = true;
    return this.#step(patches, source);
  }

  /** Moves the snapshot on, then tells the texts. `source`: the text handle that did it, if one did. */
  #step(patches: readonly RawPatch[], source: object | null): Step<T> {
    const before = this.#snapshot;
    this.#snapshot = applyPatches(before, patches);
    const step = makeStep(before, this.#snapshot, patches);
    const told = [...this.#texts.values()].map((text) => [text, text.follow(patches)] as const);
    for (const [text, splices] of told) if (splices.length > 0) text.tell(splices, step, source);
    return step;
  }

  #committed(): void {
    if (this.#uncommitted) throw new DocumentError("invalid-value", "commit the edits of this document first");
  }
}

/** The changes of an Automerge file, each as a payload. A file from outside may break the module: see `document-files.ts`. */
export async function changesOf(module: DocumentModule, file: Uint8Array): Promise<readonly Uint8Array[]> {
  return guarded(() => module.Document.changesOf(file));
}

function makeStep<T>(before: Snapshot<T>, after: Snapshot<T>, raw: readonly RawPatch[]): Step<T> {
  let patches: readonly Patch[] | undefined;
  return {
    before,
    after,
    get patches() {
      return (patches ??= raw.map(toPatch));
    },
  };
}

/** Adds to a step without reading its patches. */
function extend<T, X extends object>(step: Step<T>, more: X): Step<T> & X {
  return Object.assign(step, more);
}

function remoteStep<T>(step: Step<T>, [, skipped, displaced, replayed, waiting, rebuilt]: RawApplied): RemoteStep<T> {
  return extend(step, {
    skipped: skipped.map(([index, reason, hash]) => ({ index, reason, hash })),
    displaced: displaced.map(toDropped),
    replayed,
    waiting,
    rebuilt,
  });
}

function toCommitted([hash, bytes]: RawCommitted): Committed {
  return { hash, bytes };
}

function toCommit([hash, bytes, first]: RawCommit): Commit {
  return { hash, bytes, first: first.map(toCommitted) };
}

function toDropped([hash, patches]: RawDropped): Dropped {
  return { hash, patches: patches.map(toRetryablePatch) };
}
