/** One string of a document, for an editor. */
import type { DocumentHandleImpl } from "./document-handle.js";
import type { ChangeOptions, Origin } from "./document-types.js";
import type { Path, TextSplice } from "./document/types.js";
import { derived, type Store, type Unsubscribe } from "./store.js";
import type { WriteHandle } from "./write.js";

/** One string of a document, for an editor. The snapshot is `undefined` while the string is not there. */
export interface TextHandle extends Store<string | undefined> {
  /** Applies what the user typed, as one change. Throws as `change` does, and `invalid-value` if out of range. */
  splice(splices: readonly TextSplice[], options?: ChangeOptions): WriteHandle;
  /** What others (and other tabs, and refusals) did; not the splices made through this handle. */
  onSplice(listener: (splices: readonly TextSplice[], origin: Origin) => void): Unsubscribe;
  /** A place that stays between its characters while the text changes. Storable, sendable as presence. */
  cursorAt(index: number): string;
  /** Where it is now; null if its surroundings are unknown here. */
  indexOf(cursor: string): number | null;
}

/** Binds a string of an open document. Throws `not-ready`, and `invalid-value` if there is no text at `path`. */
export function openText<T extends object>(document: DocumentHandleImpl<T>, path: Path): TextHandle {
  const text = document.look((state) => state.text(path));
  return {
    ...derived(document, () => text.value),
    splice: (splices, options = {}) => document.edit((_state, stamp) => text.splice(splices, stamp), options),
    onSplice: (listener) => text.onSplice((splices) => listener(splices, document.origin)),
    cursorAt: (index) => document.look(() => text.cursorAt(index)),
    indexOf: (cursor) => document.look(() => text.indexOf(cursor)),
  };
}
