/** Documents without network or storage: what the package builds its handles on. */

import type {
  Commit, CommitOptions, Committed, ConflictingValue, EditOptions, Heads, HistoryEntry, OpenOptions, Patch, Path, RemoteStep,
  Snapshot, Step, TextState, WithoutStep,
} from "./types.js";

export * from "./types.js";
export * from "./values.js";

/** The loaded module. */
export declare interface DocumentModule {
  readonly ready: true;
}

/** Loads the document module, once: later calls get the same. Default: `../wasm/document/document_bg.wasm` beside this file. */
export declare function loadDocumentModule(source?: URL | string | BufferSource): Promise<DocumentModule>;

/** One open document: Automerge state and its snapshot. No clock, no randomness, no network, no storage. */
export declare class DocumentState<T extends object> {
  /** Throws `engine-failed` if `file` is no Automerge document; payloads that cannot be applied are in `opened.skipped`. */
  static open<T extends object>(module: DocumentModule, options: OpenOptions): DocumentState<T>;
  /** What opening did with the payloads. */
  readonly opened: RemoteStep<T>;
  readonly snapshot: Snapshot<T>;
  /** True while there are edits that `commit` has not closed into a change. */
  readonly uncommitted: boolean;
  /** Runs `edit` on a draft. If it throws, or a value cannot be stored, nothing is applied. Null: it changed nothing. */
  change(edit: (draft: T) => void, options?: EditOptions): Step<T> | null;
  /** Closes what `change` did since the last commit into one Automerge change. Null: there was nothing. */
  commit(options: CommitOptions): Commit | null;
  /** Applies payloads of the log (own ones included: they count as seen). Throws if there are uncommitted edits. */
  applyRemote(payloads: readonly Uint8Array[]): RemoteStep<T>;
  /** Takes refused changes out, with all that depends on them. */
  without(hashes: readonly string[]): WithoutStep<T>;
  /** Makes dropped edits again on the document as it is now, as far as their places still exist; then `commit`. */
  retry(patches: readonly Patch[]): Step<T> | null;
  /** A string of the document. Throws `invalid-value` if there is none at `path`. */
  text(path: Path): TextState;
  /** All values at a place that were written at the same time; empty when there are less than two. */
  conflicts(path: Path): readonly ConflictingValue[];
  heads(): Heads;
  /** Throws `history-cut` for unknown heads, as all that takes heads. */
  viewAt(heads: Heads): Snapshot<T>;
  /** Makes a change as if back then, at once committed. Null: it changed nothing. */
  changeAt(heads: Heads, edit: (draft: T) => void, options: CommitOptions & EditOptions): { step: Step<T>; commit: Commit } | null;
  diff(from: Heads, to: Heads): readonly Patch[];
  /** Newest first. */
  changes(): Iterable<HistoryEntry>;
  /** The hash (hex) and Automerge actor (hex) of a payload, without applying it; null if it is no change. */
  inspect(payload: Uint8Array): { readonly hash: string; readonly actor: string } | null;
  /** The whole document as an Automerge file, uncommitted edits not included: commit first. */
  export(): Uint8Array;
  /** Merges an Automerge file. `changes` are those that were new, as payloads of events, in order. */
  import(file: Uint8Array): { step: Step<T>; changes: readonly Committed[] };
  /** Frees the memory of the module. The last snapshot stays. */
  close(): void;
}

/** Inside `change`: edits a string in place, merging with what others type. `index` and `deleteCount` are UTF-16 units. */
export declare function splice<O extends object>(target: O, key: TextKey<O>, index: number, deleteCount: number, insert?: string): void;
export declare function splice(list: string[], at: number, index: number, deleteCount: number, insert?: string): void;

/** Inside `change`: makes a string equal to `text` by the smallest edit: for `<input>` and `<textarea>`. */
export declare function updateText<O extends object>(target: O, key: TextKey<O>, text: string): void;
export declare function updateText(list: string[], at: number, text: string): void;

type TextKey<O> = { [K in keyof O]-?: NonNullable<O[K]> extends string ? K : never }[keyof O];
