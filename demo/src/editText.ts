/** What a person's typing means as splices, and where places in a text go when others type. No DOM here. */
import type { TextSplice } from "tidelog";

/**
 * The one splice that makes `after` out of `before`, or null if they are equal. `caret` is where the caret stands in
 * `after`: typing leaves what is behind it alone, which decides between readings such as "the first or the second of
 * these two equal letters". Never cuts a character that takes two UTF-16 units.
 */
export function editBetween(before: string, after: string, caret: number): TextSplice | null {
  if (before === after) return null;
  const tailMax = Math.min(before.length, after.length - Math.min(caret, after.length));
  let tail = 0;
  while (tail < tailMax && before[before.length - 1 - tail] === after[after.length - 1 - tail]) tail += 1;
  const headMax = Math.min(before.length, after.length) - tail;
  let head = 0;
  while (head < headMax && before[head] === after[head]) head += 1;
  if (tail > 0 && (cutsCharacter(before, before.length - tail) || cutsCharacter(after, after.length - tail))) tail -= 1;
  if (head > 0 && (cutsCharacter(before, head) || cutsCharacter(after, head))) head -= 1;
  return { index: head, deleteCount: before.length - tail - head, insert: after.slice(head, after.length - tail) };
}

/** Whether a character lies across this place. */
function cutsCharacter(text: string, index: number): boolean {
  return /[\uD800-\uDBFF]/.test(text[index - 1] ?? "") && /[\uDC00-\uDFFF]/.test(text[index] ?? "");
}

/** The text after these splices, each counting on what the one before left. */
export function applySplices(text: string, splices: readonly TextSplice[]): string {
  return splices.reduce((now, { index, deleteCount, insert }) => now.slice(0, index) + insert + now.slice(index + deleteCount), text);
}

/** Where a place is after these splices. A caret stays before what is inserted exactly at it. */
export function moveBy(place: number, splices: readonly TextSplice[]): number {
  return splices.reduce((now, { index, deleteCount, insert }) => {
    if (now <= index) return now;
    if (now < index + deleteCount) return index;
    return now + insert.length - deleteCount;
  }, place);
}

/** The same edit on a text in which these splices were made first; what both deleted is deleted once. */
export function rebase({ index, deleteCount, insert }: TextSplice, over: readonly TextSplice[]): TextSplice {
  const start = moveBy(index, over);
  const end = deleteCount === 0 ? start : moveBy(index + deleteCount, over);
  return { index: start, deleteCount: Math.max(0, end - start), insert };
}
