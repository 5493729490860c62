/** Ties a text field to a string of a document, both ways, so that the caret stays where the person put it. */
import { SyncError, type TextHandle, type TextSplice, type WriteHandle } from "tidelog";
import { editBetween, moveBy, rebase } from "./editText.js";

/**
 * Until called back. The text field belongs to nobody else meanwhile. `onTakenBack`: an edit could not be made, or not be
 * kept; the field shows the document without it.
 */
export function bindText(field: HTMLTextAreaElement, text: TextHandle, onTakenBack: (error: SyncError) => void): () => void {
  /** While an input method composes a word, the field is its own: what others type waits here. */
  let waiting: TextSplice[] | null = null;
  /** What the field showed when the composing began. */
  let base = "";

  const show = (splices: readonly TextSplice[]): void => {
    const value = text.getSnapshot() ?? "";
    if (field.value === value) return;
    const { selectionStart, selectionEnd, selectionDirection, scrollTop, scrollHeight } = field;
    field.value = value;
    field.scrollTop = scrollTop;
    if (document.activeElement !== field) return;
    field.setSelectionRange(moveBy(selectionStart, splices), moveBy(selectionEnd, splices), selectionDirection);
    // What others put above the caret must not push it out of sight: the field grows, so it is its surroundings that scroll.
    if (splices.every(({ index }) => index < selectionStart)) field.closest(".pane")?.scrollBy(0, field.scrollHeight - scrollHeight);
  };
  const write = (before: string, over: readonly TextSplice[]): void => {
    const edit = editBetween(before, field.value, field.selectionEnd);
    if (edit === null) return;
    try {
      follow(text.splice([rebase(edit, over)]));
    } catch (cause) {
      if (!(cause instanceof SyncError)) throw cause;
      const { index, deleteCount, insert } = edit;
      show([{ index, deleteCount: insert.length, insert: before.slice(index, index + deleteCount) }]);
      onTakenBack(cause);
    }
  };
  /** What the device has no room for at present stays in the document and is tried again; all else that fails leaves it. */
  const follow = (made: WriteHandle): void => {
    made.subscribe(() => {
      const state = made.getSnapshot();
      if (state.stage === "failed" && !state.error.code.startsWith("storage-")) onTakenBack(state.error);
    });
  };

  const onInput = (): void => {
    if (waiting === null) write(text.getSnapshot() ?? "", []);
  };
  const onCompositionStart = (): void => {
    base = field.value;
    waiting = [];
  };
  const onCompositionEnd = (): void => {
    const others = waiting ?? [];
    waiting = null;
    write(base, others);
    show(others);
  };

  field.value = text.getSnapshot() ?? "";
  field.addEventListener("input", onInput);
  field.addEventListener("compositionstart", onCompositionStart);
  field.addEventListener("compositionend", onCompositionEnd);
  const stop = text.onSplice((splices) => {
    if (waiting === null) show(splices);
    else waiting.push(...splices);
  });
  return () => {
    stop();
    field.removeEventListener("input", onInput);
    field.removeEventListener("compositionstart", onCompositionStart);
    field.removeEventListener("compositionend", onCompositionEnd);
  };
}
