/** A field and its string agree, also when an edit is refused. The field is a stand-in: only what `bindText` asks of one. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { SyncError, type TextHandle, type TextSplice, type WriteHandle, type WriteState } from "tidelog";
import { bindText } from "../src/bindText.js";
import { applySplices } from "../src/editText.js";

class Field extends EventTarget {
  value = "";
  selectionStart = 0;
  selectionEnd = 0;
  readonly selectionDirection = "none";
  scrollTop = 0;
  scrolledBy = 0;

  /** A line is one high. */
  get scrollHeight(): number {
    return this.value.split("\n").length;
  }

  closest(): { scrollBy(x: number, y: number): void } {
    return { scrollBy: (_, y) => { this.scrolledBy += y; } };
  }

  setSelectionRange(start: number, end: number): void {
    [this.selectionStart, this.selectionEnd] = [start, end];
  }

  /** As a person does: the caret ends up behind it. */
  paste(text: string, at: number): void {
    this.value = this.value.slice(0, at) + text + this.value.slice(at);
    this.setSelectionRange(at + text.length, at + text.length);
    this.dispatchEvent(new Event("input"));
  }
}

/** A string that refuses what makes it longer than ten, and writes whose end the test decides. */
function bound(value: string) {
  let tell: (splices: readonly TextSplice[]) => void = () => undefined;
  let end: (state: WriteState) => void = () => undefined;
  const text = {
    getSnapshot: () => value,
    splice: (splices: readonly TextSplice[]) => {
      const next = applySplices(value, splices);
      if (next.length > 10) throw new SyncError("too-large", "over ten");
      value = next;
      let state: WriteState = { stage: "unsaved" };
      return { getSnapshot: () => state, subscribe: (listener: () => void) => void (end = (last) => { state = last; listener(); }) } as unknown as WriteHandle;
    },
    onSplice: (listener: typeof tell) => (tell = listener, () => undefined),
  } as unknown as TextHandle;
  const field = new Field();
  vi.stubGlobal("document", { activeElement: field });
  const takenBack: string[] = [];
  bindText(field as unknown as HTMLTextAreaElement, text, ({ code }) => takenBack.push(code));
  return {
    field, text, takenBack,
    fail: (code: "too-large" | "storage-full") => end({ stage: "failed", error: new SyncError(code, "") }),
    elsewhere: (splice: TextSplice) => { value = applySplices(value, [splice]); tell([splice]); },
  };
}

describe("bindText", () => {
  afterEach(() => vi.unstubAllGlobals());

  it("takes an edit that cannot be made out of the field, says so, and goes on", () => {
    const { field, text, takenBack } = bound("one two");
    field.paste("far too long", 3);
    expect(field.value).toBe("one two");
    expect(field.selectionStart).toBe(3);
    expect(takenBack).toEqual(["too-large"]);
    field.paste("!", 7);
    expect(text.getSnapshot()).toBe("one two!");
  });

  it("says it when an edit was shown and could not be kept", () => {
    const { field, takenBack, fail, elsewhere } = bound("one");
    field.paste("two", 3);
    elsewhere({ index: 3, deleteCount: 3, insert: "" });
    fail("too-large");
    expect(field.value).toBe("one");
    expect(takenBack).toEqual(["too-large"]);
  });

  it("keeps the caret where it is on the screen when others write above it", () => {
    const { field, elsewhere } = bound("a\nb");
    field.setSelectionRange(2, 2);
    elsewhere({ index: 0, deleteCount: 0, insert: "x\ny\n" });
    expect(field.scrolledBy).toBe(2);
    expect(field.selectionStart).toBe(6);
    elsewhere({ index: 7, deleteCount: 0, insert: "\nz" });
    expect(field.scrolledBy).toBe(2);
  });

  it("says nothing of an edit that is kept and tried again", () => {
    const { field, takenBack, fail } = bound("one");
    field.paste("two", 3);
    fail("storage-full");
    expect(field.value).toBe("onetwo");
    expect(takenBack).toEqual([]);
  });
});
