import { describe, expect, test } from "vitest";
import { Counter, DocumentError, ImmutableString, splice, updateText } from "../../src/document/index.js";
import { edited, open, written } from "./world.js";

interface Card {
  title: string;
  done?: boolean;
  votes?: Counter;
}
interface Board {
  title: string;
  cards: Card[];
  numbers: number[];
  names: string[];
  votes: Counter;
  id?: ImmutableString;
  due?: Date | null;
  bytes?: Uint8Array;
  extra?: Record<string, unknown>;
}
const defaults = (): Board => ({ title: "untitled", cards: [], numbers: [], names: [], votes: new Counter(2) });
const board = (actor = 1) => open<Board>(actor, { defaults: defaults() });

/** What the module itself holds, read from scratch. */
const content = (document: ReturnType<typeof board>): unknown => {
  written(document);
  return open<Board>(99, { payloads: [document.export()] }).snapshot;
};

describe("drafts", () => {
  test("show the defaults, and read what they wrote", () => {
    const document = board();
    expect(document.snapshot).toEqual({ title: "untitled", cards: [], numbers: [], names: [], votes: 2 });
    document.change((draft) => {
      draft.title = "Tide";
      expect(draft.title).toBe("Tide");
      splice(draft, "title", 4, 0, "log");
      expect(draft.title).toBe("Tidelog");
      draft.cards.push({ title: "a" }, { title: "b", votes: new Counter() });
      draft.cards[1]!.votes!.increment(3);
      expect(draft.cards[1]!.votes!.value).toBe(3);
      draft.cards[0]!.done = true;
      expect(JSON.parse(JSON.stringify(draft))).toMatchObject({ title: "Tidelog", cards: [{ title: "a", done: true }, { title: "b" }] });
      expect(draft.cards.map((card) => card.title)).toEqual(["a", "b"]);
      expect(draft.cards.find((card) => card.title === "b")).toBe(draft.cards[1]);
      expect(Object.keys(draft.cards[0]!)).toEqual(["title", "done"]);
      expect("done" in draft.cards[1]!).toBe(false);
      expect(Array.isArray(draft.cards)).toBe(true);
      draft.votes.decrement();
    });
    const expected = { title: "Tidelog", cards: [{ title: "a", done: true }, { title: "b", votes: 3 }], numbers: [], names: [], votes: 1 };
    expect(document.snapshot).toEqual(expected);
    expect(content(document)).toEqual(expected);
  });

  test("hold every type of value", () => {
    const document = board();
    const due = new Date(1_700_000_000_123);
    document.change((draft) => {
      draft.due = due;
      draft.id = new ImmutableString("x-1");
      draft.bytes = Uint8Array.of(1, 2, 255);
      draft.extra = { n: null, yes: true, int: -7, float: 1.5, huge: 1e300, minus: -0, nested: { list: [1, "two", [3]] } };
      draft.due = new Date(draft.due!.getTime());
    });
    const { extra, ...rest } = content(document) as Board;
    expect(rest).toMatchObject({ due, id: "x-1", bytes: Uint8Array.of(1, 2, 255) });
    expect(extra).toEqual({ n: null, yes: true, int: -7, float: 1.5, huge: 1e300, minus: -0, nested: { list: [1, "two", [3]] } });
    expect(document.snapshot).toEqual(content(document));
  });

  test("change lists as arrays do", () => {
    const document = board();
    const plain: (number | string)[] = [];
    const steps: ((list: any[]) => unknown)[] = [
      (list) => list.push(1, 2, 3, 4, 5), (list) => list.unshift(0), (list) => list.pop(), (list) => list.shift(),
      (list) => list.splice(1, 2, 20, 30, 40), (list) => list.splice(-1), (list) => list.splice(2, 0, 7), (list) => (list[0] = 100),
      (list) => (list[list.length] = 9), (list) => list.reverse(), (list) => list.sort((a, b) => a - b), (list) => list.fill(5, 1, 3),
      (list) => (list.length = 2), (list) => list.indexOf(5), (list) => list.includes(8), (list) => list.slice(1), (list) => [...list, 1],
      (list) => list.splice(0), (list) => list.pop(), (list) => list.shift(), (list) => list.concat([3]).join(),
    ];
    for (const [at, step] of steps.entries()) {
      const expected = step(plain);
      document.change((draft) => {
        const result = step(draft.numbers);
        if (!Array.isArray(result) || Array.isArray(expected)) expect(JSON.stringify(result), `step ${at}`).toBe(JSON.stringify(expected));
      });
      expect(document.snapshot.numbers, `step ${at}`).toEqual(plain);
    }
    expect(content(document)).toEqual(document.snapshot);
  });

  test("know an object again when the list around it moved", () => {
    const document = board();
    document.change((draft) => draft.cards.push({ title: "a", votes: new Counter(1) }, { title: "b" }));
    document.change((draft) => draft.names.push("x", "y"));
    document.change((draft) => {
      const b = draft.cards[1]!;
      draft.cards.unshift({ title: "new" });
      b.title = "B";
      draft.cards[1]!.votes!.increment();
      draft.names.unshift("w");
      splice(draft.names, 2, 1, 0, "!");
      updateText(draft.names, 1, "X");
    });
    expect(document.snapshot).toMatchObject({ cards: [{ title: "new" }, { title: "a", votes: 2 }, { title: "B" }], names: ["w", "X", "y!"] });
    expect(content(document)).toEqual(document.snapshot);
  });

  test("keep kinds when values are copied within the document", () => {
    const document = board();
    document.change((draft) => {
      draft.cards.push({ title: "a", votes: new Counter(4) }, { title: "b" });
      draft.id = new ImmutableString("i");
    });
    document.change((draft) => {
      draft.cards.reverse();
      draft.extra = { card: draft.cards[1], id: draft.id };
    });
    document.change((draft) => draft.cards[1]!.votes!.increment());
    expect(document.snapshot).toMatchObject({ cards: [{ title: "b" }, { title: "a", votes: 5 }], extra: { card: { title: "a", votes: 4 } } });
    expect(content(document)).toEqual(document.snapshot);
  });

  test("splice whole characters only, and only within the string", () => {
    const document = board();
    document.change((draft) => void (draft.title = "a😀b"));
    document.change((draft) => {
      splice(draft, "title", 2, 0, "x"); // within the pair: before it
      expect(draft.title).toBe("ax😀b");
      splice(draft, "title", 2, 1); // half of the pair: all of it
      expect(draft.title).toBe("axb");
      splice(draft, "title", 3, 0, "\ud83d");
      expect(draft.title).toBe("axb\ufffd");
    });
    expect(content(document)).toEqual(document.snapshot);
    for (const [index, count] of [[-1, 0], [0, 9], [9, 0], [0.5, 0]] as const) {
      expect(() => document.change((draft) => splice(draft, "title", index, count, "x"))).toThrow(DocumentError);
    }
  });

  test("refuse what cannot be stored, and then nothing is applied", () => {
    const document = board();
    const before = document.snapshot;
    const bad: ((draft: any) => unknown)[] = [
      (draft) => (draft.title = undefined), (draft) => (draft.extra = { f: () => 1 }), (draft) => (draft.extra = new Map()),
      (draft) => (draft.extra = 1n), (draft) => (draft.extra = Symbol("s")), (draft) => (draft.due = new Date(NaN)), (draft) => (draft.numbers[3] = 1),
      (draft) => (draft.numbers.length = 5), (draft) => delete draft.numbers[0], (draft) => (draft.extra = { deep: [undefined] }),
      (draft) => draft.votes.increment(0.5), (draft) => (draft.extra = new Counter(0.5)), (draft) => splice(draft, "id", 0, 0, "x"),
      (draft) => Object.defineProperty(draft, "x", { value: 1 }), (draft) => (draft["__proto__"] = {}), (draft) => (draft.extra = JSON.parse('{"__proto__":1}')),
      (draft) => { const loop: any = {}; loop.loop = loop; draft.extra = loop; }, async (draft) => void (draft.title = "late"),
      () => document.change(() => undefined), (draft) => { draft.title = "kept?"; throw new DocumentError("invalid-value", "the app's own"); },
    ];
    for (const edit of bad) {
      expect(() => document.change((draft) => { draft.title = "x"; return edit(draft) as void; }), String(edit)).toThrow(DocumentError);
      expect(document.snapshot, String(edit)).toBe(before);
    }
    expect(document.uncommitted).toBe(false);
    expect(content(document)).toEqual(before);
    let escaped: Board | undefined;
    document.change((draft) => void (escaped = draft));
    expect(() => (escaped!.title = "late")).toThrow(DocumentError);
  });

  test("hand the finished content to a check, which may refuse it", () => {
    const document = board();
    const seen: unknown[] = [];
    document.change((draft) => { draft.cards.push({ title: "a" }); draft.votes.increment(); }, { validate: (next) => void seen.push(next) });
    expect(seen).toEqual([document.snapshot]);
    const refuse = () => { throw new RangeError("no"); };
    expect(() => document.change((draft) => void (draft.title = "x"), { validate: refuse })).toThrow(RangeError);
    expect(document.snapshot.title).toBe("untitled");
  });

  test("are what Redux Toolkit takes for a draft", () => {
    const isDraft = (value: any) => !!value && !!value[Symbol.for("immer-state")];
    open<Board>(1, { defaults: defaults() }).change((draft) => {
      expect([isDraft(draft), isDraft(draft.cards), isDraft({})]).toEqual([true, true, false]);
    });
  });

  test("an edit that changes nothing makes no change", () => {
    const document = board();
    expect(document.change((draft) => void draft.cards.length)).toBeNull();
    expect(document.change((draft) => updateText(draft, "title", "untitled"))).toBeNull();
    expect(document.commit({ time: 0 })).toBeNull();
    expect(edited(document, (draft) => void (draft.title = "x")).length).toBeGreaterThan(1);
  });
});
