/** The past of a document. */
import type { ChangeOptions, DocumentHistory } from "./document-types.js";
import type { DocumentState } from "./document/index.js";
import type { Heads } from "./document/types.js";
import type { WriteHandle } from "./write.js";

/** What a history needs of its handle. */
interface HistoryOwner<T extends object> {
  /** The document, with the open change closed. Throws `not-ready` and `closed`; what `read` throws of the document comes as `SyncError`. */
  read<R>(read: (state: DocumentState<T>) => R): R;
  commitAt(heads: Heads, edit: (draft: T) => void, options: ChangeOptions): WriteHandle;
  authorOf(actor: string): string | null;
}

/** The history of one handle. */
export function documentHistory<T extends object>(owner: HistoryOwner<T>): DocumentHistory<T> {
  return {
    heads: () => owner.read((state) => state.heads()),
    viewAt: (heads) => owner.read((state) => state.viewAt(heads)),
    changeAt: (heads, edit, options = {}) => owner.commitAt(heads, edit, options),
    diff: (from, to) => owner.read((state) => state.diff(from, to)),
    *changes() {
      for (const { actor, ...entry } of owner.read((state) => state.changes())) yield { ...entry, author: owner.authorOf(actor) };
    },
  };
}
