/** The face of a document, and the shapes in which it is told and looked back at. */
import type { TextHandle } from "./document-text.js";
import type { Heads, Patch, Path, Snapshot, TextPath } from "./document/types.js";
import type { Handle } from "./handle.js";
import type { Store, Unsubscribe } from "./store.js";
import type { WriteHandle } from "./write.js";

/** Options of a change. */
export interface ChangeOptions {
  /** Kept in the history, shown in `history.changes()`. At most 1 KB. */
  readonly message?: string;
}

/** A document: Automerge state under a stream name. The snapshot is `undefined` until ready. */
export interface DocumentHandle<T extends object> extends Handle, Store<Snapshot<T> | undefined> {
  /**
   * Applies an edit at once; `edit` must be synchronous and may read what it has written. Changes of one frame
   * travel as one event. Throws `not-ready`, `invalid-value`, `too-large`, `closed`, and whatever `edit` throws (nothing is
   * applied then).
   */
  change(edit: (draft: T) => void, options?: ChangeOptions): WriteHandle;
  /** Tells each step with its patches, in order, before React renders. For editors and caches; components use snapshots. */
  onChange(listener: (change: DocumentChange<T>) => void): Unsubscribe;
  /** A string of the document for an editor. Stays with that string when list indexes around it move. Throws `not-ready`. */
  text(path: TextPath<T>): TextHandle;
  /** Concurrent values at a place; empty when there are none. Writing there again resolves it. One store per path. */
  conflicts(path: Path): Store<readonly Conflict[]>;
  /** The past. Available once ready. */
  readonly history: DocumentHistory<T>;
  /** The whole document as an Automerge file, which `@automerge/automerge` opens. Pending changes included. */
  export(): Uint8Array;
  /**
   * Merges an Automerge file of the same history, or of another one, into this document: shown once it has been read. The
   * write fails with `invalid-value` if it is none.
   */
  import(file: Uint8Array): WriteHandle;
}

/** Who caused a change of a document, seen from this page. */
export type Origin = "local" | "rejection" | "other-tab" | "remote";

/** One step of a document, as `DocumentHandle.onChange` tells it. */
export interface DocumentChange<T extends object> {
  readonly before: Snapshot<T>;
  readonly after: Snapshot<T>;
  /** Built only when read. */
  readonly patches: readonly Patch[];
  readonly origin: Origin;
}

/** One of several values that were written to the same place at the same time. */
export interface Conflict {
  readonly value: unknown;
  readonly author: string | null;
  /** The one that snapshots show; the same on every device. */
  readonly winner: boolean;
}

/** The past of a document. All of it throws `not-ready` too early and `history-cut` for heads that are not in it. */
export interface DocumentHistory<T extends object> {
  heads(): Heads;
  /** The document as it was. Costs about as much as opening it. */
  viewAt(heads: Heads): Snapshot<T>;
  /** Changes it as if made back then; merges like any concurrent change. */
  changeAt(heads: Heads, edit: (draft: T) => void, options?: ChangeOptions): WriteHandle;
  diff(from: Heads, to: Heads): readonly Patch[];
  /** Newest first. `time` is milliseconds since 1970 by the author's clock. */
  changes(): Iterable<{ heads: Heads; author: string | null; time: number; message: string | null }>;
}
