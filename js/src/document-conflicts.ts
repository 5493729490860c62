/** The values that stand at one place of a document, as a store. */
import type { ConflictingValue } from "./document/types.js";
import type { Conflict } from "./document-types.js";
import { derived, type Store } from "./store.js";

/** `find`: the document's answer, null while it is not open. Asked again only when the document's snapshot changed. */
export function conflictsAt(
  document: Store<unknown>,
  find: () => readonly ConflictingValue[] | null,
  authorOf: (actor: string) => string | null,
): Store<readonly Conflict[]> {
  let seen: unknown;
  let value: readonly Conflict[] = [];
  const getSnapshot = (): readonly Conflict[] => {
    const now = document.getSnapshot();
    const found = now === seen ? null : find();
    seen = now;
    if (found !== null) value = keepConflicts(value, found.map(({ actor, ...conflict }) => ({ ...conflict, author: authorOf(actor) })));
    return value;
  };
  return derived(document, getSnapshot);
}

/** Values are snapshots with references of their own, so an entry is the same when its fields are. */
function keepConflicts(before: readonly Conflict[], next: readonly Conflict[]): readonly Conflict[] {
  const merged = next.map((conflict, index) => {
    const old = before[index];
    return old !== undefined && old.value === conflict.value && old.author === conflict.author && old.winner === conflict.winner ? old : conflict;
  });
  return merged.length === before.length && merged.every((conflict, index) => conflict === before[index]) ? before : merged;
}
