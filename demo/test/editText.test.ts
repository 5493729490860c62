import { describe, expect, it } from "vitest";
import { applySplices, editBetween, moveBy, rebase } from "../src/editText.js";

describe("editBetween", () => {
  it("finds the one place that changed", () => {
    expect(editBetween("same", "same", 2)).toBeNull();
    expect(editBetween("", "a", 1)).toEqual({ index: 0, deleteCount: 0, insert: "a" });
    expect(editBetween("one three", "one two three", 8)).toEqual({ index: 4, deleteCount: 0, insert: "two " });
    expect(editBetween("one two three", "one three", 4)).toEqual({ index: 4, deleteCount: 4, insert: "" });
    expect(editBetween("a cat", "a dog", 5)).toEqual({ index: 2, deleteCount: 3, insert: "dog" });
  });

  it("takes what is behind the caret as untouched", () => {
    expect(editBetween("aaa", "aaaa", 1)).toEqual({ index: 0, deleteCount: 0, insert: "a" });
    expect(editBetween("aaa", "aaaa", 4)).toEqual({ index: 3, deleteCount: 0, insert: "a" });
    expect(editBetween("aaa", "aa", 1)).toEqual({ index: 1, deleteCount: 1, insert: "" });
  });

  it("never cuts a character of two units", () => {
    expect(editBetween("😀", "😁", 2)).toEqual({ index: 0, deleteCount: 2, insert: "😁" });
    const [before, after] = ["x\u{1F600}y", "x\u{1FA00}y"]; // the second unit of the two is the same
    expect(before[2]).toBe(after[2]);
    expect(editBetween(before, after, 0)).toEqual({ index: 1, deleteCount: 2, insert: "\u{1FA00}" });
  });

  it("always leads to the text it was asked for, wherever the caret is", () => {
    const random = generator(7);
    for (let round = 0; round < 3000; round += 1) {
      const [before, after] = [text(random), text(random)];
      const edit = editBetween(before, after, Math.floor(random() * 9));
      expect(applySplices(before, edit === null ? [] : [edit])).toBe(after);
      if (edit !== null) {
        expect(isWhole(edit.insert)).toBe(true);
        expect(isWhole(before.slice(0, edit.index))).toBe(true);
        expect(isWhole(before.slice(edit.index + edit.deleteCount))).toBe(true);
      }
    }
  });
});

describe("moveBy", () => {
  it("keeps a caret between its characters", () => {
    expect(moveBy(5, [{ index: 2, deleteCount: 0, insert: "abc" }])).toBe(8);
    expect(moveBy(5, [{ index: 5, deleteCount: 0, insert: "abc" }])).toBe(5);
    expect(moveBy(5, [{ index: 9, deleteCount: 1, insert: "" }])).toBe(5);
    expect(moveBy(5, [{ index: 3, deleteCount: 4, insert: "x" }])).toBe(3);
    expect(moveBy(5, [{ index: 0, deleteCount: 2, insert: "" }, { index: 0, deleteCount: 0, insert: "ab" }])).toBe(5);
  });
});

describe("rebase", () => {
  it("makes the same edit on a text that others changed first", () => {
    const mine = { index: 4, deleteCount: 3, insert: "fox" };
    const theirs = [{ index: 0, deleteCount: 0, insert: "so " }, { index: 11, deleteCount: 3, insert: "!" }];
    expect(applySplices(applySplices("the cat ran", theirs), [rebase(mine, theirs)])).toBe("so the fox !");
  });

  it("deletes once what both deleted", () => {
    const theirs = [{ index: 2, deleteCount: 4, insert: "" }];
    expect(applySplices(applySplices("abcdefgh", theirs), [rebase({ index: 3, deleteCount: 4, insert: "X" }, theirs)])).toBe("abXh");
  });

  it("never takes away what others typed in the same place", () => {
    const theirs = [{ index: 3, deleteCount: 0, insert: "new" }];
    expect(applySplices(applySplices("abcdef", theirs), [rebase({ index: 3, deleteCount: 0, insert: "X" }, theirs)])).toBe("abcXnewdef");
  });

  it("stays inside the text", () => {
    const random = generator(11);
    for (let round = 0; round < 3000; round += 1) {
      const base = text(random);
      const theirs = editBetween(base, text(random), 0);
      const mine = editBetween(base, text(random), 0);
      if (theirs === null || mine === null) continue;
      const changed = applySplices(base, [theirs]);
      const { index, deleteCount } = rebase(mine, [theirs]);
      expect(index).toBeGreaterThanOrEqual(0);
      expect(index + deleteCount).toBeLessThanOrEqual(changed.length);
    }
  });
});

/** Numbers from 0 to 1, the same for the same seed. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function text(random: () => number): string {
  const letters = ["a", "b", "😀", "😁", "\u{1FA00}"];
  return Array.from({ length: Math.floor(random() * 6) }, () => letters[Math.floor(random() * letters.length)]).join("");
}

function isWhole(text: string): boolean {
  return text.isWellFormed();
}
