import { describe, expect, it } from "vitest";
import type { DocumentHandle } from "tidelog";
import { firstWords, listNotes, putBack, removeNote, type Index } from "../src/notes.js";
import { describeEdits, explainRefusal, isComment, withText } from "../src/refused.js";
import { idIn, linkTo } from "../src/useSelected.js";
import { describeSaved } from "../src/words.js";

describe("listNotes", () => {
  it("puts the newest first, those of the same moment in the same order everywhere, and leaves out what was removed", () => {
    const at = (time: number, title: string) => ({ title, createdAt: new Date(time) });
    const notes = { b: at(1, "first"), c: at(2, "second"), a: at(2, "also second") };
    expect(listNotes({ notes }).map(({ id }) => id)).toEqual(["a", "c", "b"]);
    expect(listNotes({ notes: { ...notes, c: { ...notes.c, removedAt: new Date(3) } } }).map(({ id }) => id)).toEqual(["a", "b"]);
  });
});

describe("putBack", () => {
  const createdAt = new Date(1);
  const indexOf = (content: Index) => ({ change: (edit: (draft: Index) => void) => edit(content) }) as unknown as DocumentHandle<Index>;

  it("gives a note its title and place again", () => {
    const content: Index = { notes: { a: { title: "mine", createdAt } } };
    removeNote(indexOf(content), "a");
    expect(listNotes(content)).toEqual([]);
    putBack(indexOf(content), "a", "words of the text");
    expect(listNotes(content)).toEqual([{ id: "a", title: "mine", createdAt }]);
  });

  it("names a note that an older build took out of the list", () => {
    const content: Index = { notes: {} };
    putBack(indexOf(content), "a", "words of the text");
    expect(listNotes(content).map(({ title }) => title)).toEqual(["words of the text"]);
  });
});

describe("firstWords", () => {
  it("fits into a line", () => {
    expect(firstWords("  one\n\n two\tthree ")).toBe("one two three");
    expect(firstWords("one two three", 8)).toBe("one two…");
  });
});

describe("idIn", () => {
  it("reads back what a link says, and nothing that is no id", () => {
    const id = "0f8fad5b-d9cb-469f-a165-70867728950e";
    expect(idIn(linkTo(id))).toBe(id);
    for (const hash of ["", "#/", "#/notes/", "#/notes/../comments", "#/notes/index", "#/notes/a/b", `#/notes/${"a".repeat(65)}`]) expect(idIn(hash)).toBeNull();
  });
});

describe("describeSaved", () => {
  it("says of nothing that it is saved while something was refused", () => {
    expect(describeSaved({ savedOn: "relay", rejected: 0 })).toBe("Saved on the relay");
    expect(describeSaved({ savedOn: "device", rejected: 0 })).toBe("Saved on this device");
    for (const savedOn of ["none", "device", "relay"] as const) expect(describeSaved({ savedOn, rejected: 1 })).not.toMatch(/^Saved/);
  });
});

describe("refused writes", () => {
  it("tell what they were", () => {
    expect(describeEdits([{ action: "splice", path: ["text", 0], value: "Hello " }, { action: "splice", path: ["text", 6], value: "you" }])).toBe("“Hello you”");
    expect(describeEdits([{ action: "del", path: ["text", 3], length: 2 }])).toBe("Something deleted");
    expect(describeEdits([])).toBe("A change");
    expect(describeEdits([{ action: "splice", path: ["text", 0], value: "x".repeat(200) }])).toHaveLength(83);
  });

  it("are explained in the relay's own words where it has any", () => {
    expect(explainRefusal({ code: "unwelcome-word", reason: "Not here." })).toBe("Not here.");
    expect(explainRefusal({ code: "too-large", reason: "" })).toContain("Split it up");
    expect(explainRefusal({ code: "of-some-app", reason: "" })).toContain("of-some-app");
  });

  it("can be corrected if they are comments, whatever lay on the disk", () => {
    const comment = { type: "added", payload: { key: "k", name: "n", text: "old" } };
    expect(isComment(comment) && withText(comment, "new")).toEqual({ type: "added", payload: { key: "k", name: "n", text: "new" } });
    for (const payload of [undefined, null, "text", [], { text: 1 }]) expect(isComment({ type: "added", payload })).toBe(false);
    expect(isComment({ type: "", payload: comment.payload })).toBe(false);
  });
});
