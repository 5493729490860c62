import { describe, expect, test } from "vitest";
import { Counter, DocumentError, DocumentState, ImmutableString, splice, updateText, type Patch, type TextSplice } from "../../src/document/index.js";
import { edited, module, open, written } from "./world.js";

interface Note {
  title: string;
  items: { text: string; n?: number }[];
  votes: Counter;
  status?: string;
}
const defaults = (): Note => ({ title: "", items: [], votes: new Counter() });
const note = (actor: number, payloads: Uint8Array[] = []) => open<Note>(actor, { defaults: defaults(), payloads });
const text = (value: string) => edited<Note>(note(9), (draft) => void (draft.title = value));

describe("snapshots", () => {
  test("share what did not change, and are frozen", () => {
    const document = note(1);
    document.change((draft) => draft.items.push({ text: "a" }, { text: "b" }));
    const before = document.snapshot;
    document.change((draft) => splice(draft.items[1]!, "text", 1, 0, "!"));
    expect(document.snapshot.items[0]).toBe(before.items[0]);
    expect(document.snapshot.items[1]).not.toBe(before.items[1]);
    expect(before.items[1]).toEqual({ text: "b" });
    expect(Object.isFrozen(document.snapshot.items[1]) && Object.isFrozen(document.snapshot.items)).toBe(true);
    const { items } = document.snapshot;
    document.change((draft) => void (draft.title = "x"));
    expect(document.snapshot.items).toBe(items);
  });

  test("a key may have any name", () => {
    const document = open<Record<string, unknown>>(1);
    document.change((draft) => {
      draft["constructor"] = { toString: "x", length: 1 };
      draft["hasOwnProperty"] = 1;
    });
    document.change((draft) => void ((draft["constructor"] as Record<string, unknown>)["length"] = 2));
    expect(document.snapshot).toEqual({ constructor: { toString: "x", length: 2 }, hasOwnProperty: 1 });
  });

  test("a step has its patches, and they are those of Automerge", () => {
    const document = note(1);
    const patches = (edit: (draft: Note) => void): readonly Patch[] => document.change(edit)!.patches;
    expect(patches((draft) => draft.items.push({ text: "ab" }))).toEqual([
      { action: "insert", path: ["items", 0], values: [{}] },
      { action: "put", path: ["items", 0, "text"], value: "" },
      { action: "splice", path: ["items", 0, "text", 0], value: "ab" },
    ]);
    expect(patches((draft) => updateText(draft.items[0]!, "text", "axb"))).toEqual([{ action: "splice", path: ["items", 0, "text", 1], value: "x" }]);
    expect(patches((draft) => draft.votes.increment(2))).toEqual([{ action: "inc", path: ["votes"], value: 2 }]);
    expect(patches((draft) => void draft.items.pop())).toEqual([{ action: "del", path: ["items", 0] }]);
  });
});

describe("changes", () => {
  test("of one frame are one change, and the first one brings the defaults along", () => {
    const ann = note(1);
    ann.change((draft) => void (draft.title = "a"));
    ann.change((draft) => void (draft.status = "open"));
    const commit = ann.commit({ time: 1_700_000_000_999, message: "two edits" })!;
    expect(commit.first).toHaveLength(4); // the fixed first one, and one for each default
    expect(ann.inspect(commit.bytes)).toEqual({ hash: commit.hash, actor: "01".repeat(16), isFirst: false });
    expect(commit.first.map(({ bytes }) => ann.inspect(bytes)!.isFirst)).toEqual([true, true, true, true]);
    expect(ann.heads()).toEqual([commit.hash]);
    expect([...ann.changes()][0]).toEqual({ heads: [commit.hash], actor: "01".repeat(16), time: 1_700_000_000_000, message: "two edits" });
    expect(edited(ann, (draft) => void (draft.title = "b"))).toHaveLength(1);
  });

  test("that are too large for one event are made in parts, each with the time and message of the whole", () => {
    const [ann, ben] = [note(1), note(2)];
    const options = { time: 5000, message: "pasted" };
    const pasted = "lorem ipsu".repeat(25_000);
    ann.change((draft) => void (draft.title = pasted), options);
    ann.change((draft) => void (draft.status = "open"), options);
    const commit = ann.commit(options)!;
    const parts = [...commit.first.slice(4), commit];
    expect(parts.length).toBeGreaterThan(1);
    for (const { bytes } of parts) expect(bytes.byteLength).toBeLessThan(400 * 1024);
    expect([...ann.changes()].slice(0, parts.length).map(({ time, message }) => ({ time, message }))).toEqual(parts.map(() => options));
    expect(ben.applyRemote([...commit.first, commit].map(({ bytes }) => bytes)).skipped).toEqual([]);
    expect(ben.snapshot).toEqual({ title: pasted, status: "open", items: [], votes: 0 });
  }, 30_000);

  test("must be made at once, and errors name the method that was called", () => {
    const document = note(1);
    edited(document, (draft) => void (draft.title = "x"));
    expect(() => document.change((async () => undefined) as never)).toThrow("the edit of `change` must be synchronous");
    expect(() => document.changeAt(document.heads(), (async () => undefined) as never, { time: 0 })).toThrow("the edit of `changeAt` must be synchronous");
    expect(() => document.change(() => void document.change(() => undefined))).toThrow("`change` of a document within an edit");
  });

  test("that would take too long, or hold a value that fits into no event, are refused at once", () => {
    const document = open<{ text: string; bytes?: Uint8Array }>(1, { defaults: { text: "" } });
    const before = document.snapshot;
    expect(() => document.change((draft) => void (draft.text = "x".repeat(3_000_000)))).toThrow(expect.objectContaining({ code: "too-large" }));
    expect(() => document.change((draft) => void (draft.bytes = new Uint8Array(460_000)))).toThrow(expect.objectContaining({ code: "too-large" }));
    expect(document.snapshot).toBe(before);
    expect(document.uncommitted).toBe(false);
  });

  test("arrive by replay where nothing is concurrent, else in a batch", () => {
    const [ann, ben] = [note(1), note(2)];
    ben.applyRemote(edited(ann, (draft) => void (draft.title = "hello")));
    const sequential = ben.applyRemote(edited(ann, (draft) => splice(draft, "title", 5, 0, "!")));
    expect(sequential).toMatchObject({ replayed: 1, skipped: [], rebuilt: 0, waiting: 0 });
    const [a, b] = [edited(ann, (draft) => splice(draft, "title", 0, 1, "H")), edited(ben, (draft) => draft.votes.increment())];
    expect(ann.applyRemote(b).replayed).toBe(0);
    expect(ben.applyRemote(a).patches).toEqual([{ action: "splice", path: ["title", 0], value: "H" }, { action: "del", path: ["title", 1] }]);
    expect(ann.snapshot).toEqual({ title: "Hello!", items: [], votes: 1 });
    expect(ben.snapshot).toEqual(ann.snapshot);
    expect(ben.applyRemote([new Uint8Array(20), ...a])).toMatchObject({ skipped: [{ index: 0, reason: "malformed", hash: null }], patches: [] });
  });

  test("that are refused leave with all that depends on them, and can be made again", () => {
    const document = note(1);
    edited(document, (draft) => draft.items.push({ text: "kept" }));
    document.change((draft) => {
      draft.items.push({ text: "refused", n: 1 });
      draft.votes.increment(5);
    });
    const refused = document.commit({ time: 0 })!;
    document.change((draft) => splice(draft.items[1]!, "text", 0, 0, "also "));
    const later = document.commit({ time: 0 })!;
    const step = document.without([refused.hash]);
    expect(document.snapshot).toEqual({ title: "", items: [{ text: "kept" }], votes: 0 });
    expect(step.after).toBe(document.snapshot);
    expect(step.dropped.map(({ hash }) => hash)).toEqual([refused.hash, later.hash]);
    document.change((draft) => draft.items.unshift({ text: "new" }));
    for (const { patches } of step.dropped) document.retry(patches);
    const own = document.commit({ time: 0 })!;
    expect(document.inspect(own.bytes)!.actor).not.toBe("01".repeat(16)); // a sequence is never used twice
    expect(document.snapshot).toMatchObject({ votes: 5 });
    expect(document.snapshot.items).toHaveLength(3);
    expect(document.snapshot.items[1]).toEqual({ text: "also refused", n: 1 });
    expect(document.without(["00".repeat(32)]).dropped).toEqual([]);
  });

  test("kinds survive a retry", () => {
    const document = open<Record<string, unknown>>(1);
    document.change((draft) => {
      draft["counter"] = new Counter(3);
      draft["list"] = [new ImmutableString("i"), new Counter(1), new Date(5)];
    });
    const { hash } = document.commit({ time: 0 })!;
    const [dropped] = document.without([hash]).dropped;
    document.retry(dropped!.patches);
    document.change((draft) => {
      (draft["counter"] as Counter).increment();
      expect(() => splice(draft["list"] as string[], 0, 0, 0, "x")).toThrow(DocumentError);
    });
    expect(document.snapshot).toEqual({ counter: 4, list: ["i", 1, new Date(5)] });
  });

  test("of a clone with the same actor give way to those of the log", () => {
    const start = edited(note(1), (draft) => void (draft.title = "x"));
    const [ann, clone] = [note(1, start), note(1, start)];
    const first = edited(ann, (draft) => splice(draft, "title", 1, 0, "a"));
    const second = edited(clone, (draft) => splice(draft, "title", 1, 0, "c"));
    // The log took Ann's first.
    const step = clone.applyRemote(first);
    expect(clone.snapshot.title).toBe("xa");
    expect(step.displaced).toHaveLength(1);
    expect(ann.applyRemote([...first, ...second]).skipped).toMatchObject([{ index: 1, reason: "sequence-taken" }]);
    clone.retry(step.displaced[0]!.patches);
    ann.applyRemote(written(clone));
    expect(ann.snapshot).toEqual(clone.snapshot);
    expect(ann.snapshot.title).toBe("xca");
  });
});

describe("texts", () => {
  test("are bound to the string, tell what others did, and keep places", () => {
    const start = text("hello world");
    const [ann, ben] = [note(1, start), note(2, start)];
    const [own, same] = [ann.text(["title"]), ann.text(["title"])];
    const heard: [string, readonly TextSplice[]][] = [];
    own.onSplice((splices) => heard.push(["own", splices]));
    same.onSplice((splices) => heard.push(["same", splices]));
    const cursor = own.cursorAt(6);
    own.splice([{ index: 0, deleteCount: 5, insert: "bye" }, { index: 3, deleteCount: 0, insert: "," }]);
    expect([own.value, ann.snapshot.title]).toEqual(["bye, world", "bye, world"]);
    expect(heard).toEqual([["same", [{ index: 0, deleteCount: 5, insert: "bye," }]]]);
    expect(own.indexOf(cursor)).toBe(5);
    heard.length = 0;
    const theirs = edited(ben, (draft) => splice(draft, "title", 11, 0, "s"));
    written(ann);
    ann.applyRemote(theirs);
    expect(heard).toEqual([["own", [{ index: 10, deleteCount: 0, insert: "s" }]], ["same", [{ index: 10, deleteCount: 0, insert: "s" }]]]);
    expect([own.value, own.indexOf(own.cursorAt(11))]).toEqual(["bye, worlds", 11]);
    for (const unknown of ["", "x", "5@zz", `99999@${"01".repeat(16)}`, "1@" + "00".repeat(16), "é@é", "-", "1@"]) expect(own.indexOf(unknown)).toBeNull();
    ann.change((draft) => void (draft.title = "another"));
    expect(own.value).toBeUndefined();
    expect(() => ann.text(["votes"])).toThrow(DocumentError);
    expect(() => own.splice([{ index: 99, deleteCount: 0, insert: "x" }])).toThrow(DocumentError);
  });

  test("stay with their string when the list around it moves", () => {
    const document = note(1);
    document.change((draft) => draft.items.push({ text: "a" }));
    const handle = document.text(["items", 0, "text"]);
    document.change((draft) => draft.items.unshift({ text: "first" }));
    handle.splice([{ index: 1, deleteCount: 0, insert: "b" }]);
    expect(document.snapshot.items.map((item) => item.text)).toEqual(["first", "ab"]);
    document.change((draft) => void draft.items.splice(1, 1));
    expect(handle.value).toBeUndefined();
  });
});

describe("the past", () => {
  test("can be looked at, compared, and changed", () => {
    const document = note(1);
    edited(document, (draft) => draft.items.push({ text: "one" }));
    const then = document.heads();
    edited(document, (draft) => void (draft.items.splice(0, 1), draft.votes.increment()));
    const now = document.heads();
    expect(document.viewAt(then)).toEqual({ title: "", items: [{ text: "one" }], votes: 0 });
    expect(document.diff(then, now)).toContainEqual({ action: "inc", path: ["votes"], value: 1 });
    expect(document.diff(now, then)).toContainEqual({ action: "inc", path: ["votes"], value: -1 });
    const { commit } = document.changeAt(then, (draft) => { draft.items.push({ text: "two" }); draft.votes.increment(10); }, { time: 0 })!;
    expect(document.snapshot).toEqual({ title: "", items: [{ text: "two" }], votes: 11 });
    expect(document.heads()).toHaveLength(2);
    expect(document.inspect(commit.bytes)).not.toBeNull();
    expect(() => document.viewAt(["ab".repeat(32)] as never)).toThrow(DocumentError);
    expect(() => document.diff(["x"] as never, now)).toThrow(DocumentError);
    expect(edited(document, (draft) => void (draft.title = "after"))).toHaveLength(1);
  });

  test("conflicts are readable, and gone when written again", () => {
    const [ann, ben] = [note(1), note(2)];
    const [a, b] = [edited(ann, (draft) => void (draft.status = "a")), edited(ben, (draft) => void (draft.status = "b"))];
    const before = ann.snapshot;
    ann.applyRemote(b);
    ben.applyRemote(a);
    expect(ann.snapshot).not.toBe(before);
    expect(ann.conflicts(["status"])).toEqual([
      { value: "a", actor: "01".repeat(16), winner: false },
      { value: "b", actor: "02".repeat(16), winner: true },
    ]);
    expect(ben.conflicts(["status"])).toEqual(ann.conflicts(["status"]));
    ann.change((draft) => void (draft.status = "b"));
    expect([ann.conflicts(["status"]), ann.conflicts([]), ann.conflicts(["no", 3])]).toEqual([[], [], []]);
  });
});

describe("actors", () => {
  /** One keystroke on each of so many page loads; gives the saved document. */
  const afterLoads = (count: number, lease: Uint8Array | null): Uint8Array => {
    const log: Uint8Array[] = [];
    for (let load = 1; load <= count; load += 1) {
      const actor = crypto.getRandomValues(new Uint8Array(16));
      const document = DocumentState.open<{ text: string }>(module, { actor, defaults: { text: "" }, payloads: log });
      expect(document.opened).toMatchObject({ skipped: [], waiting: 0 });
      if (lease !== null) expect(document.takeActor(lease)).toBe(true);
      document.text(["text"]).splice([{ index: load - 1, deleteCount: 0, insert: "x" }]);
      log.push(...written(document));
      if (load === count) return document.export();
      document.close();
    }
    throw new Error("no load");
  };

  test("leased ones keep a document from growing by one actor for each page load", () => {
    const [fresh, leased] = [afterLoads(100, null), afterLoads(100, new Uint8Array(16).fill(7))];
    console.log(`100 page loads of one keystroke each: ${fresh.byteLength} bytes with an actor each, ${leased.byteLength} with a leased one`);
    expect(leased.byteLength).toBeLessThan(fresh.byteLength - 99 * 16);
  });

  test("are not taken while edits are uncommitted, or where their numbers are in doubt", () => {
    const [ann, clone] = [open<{ text: string }>(1, { defaults: { text: "" } }), open<{ text: string }>(1, { defaults: { text: "" } })];
    const first = edited(ann, (draft) => void (draft.text = "ann"));
    const late = edited(clone, (draft) => void (draft.text = "clone"));
    ann.change((draft) => void (draft.text = "more"));
    expect(() => ann.takeActor(new Uint8Array(16).fill(2))).toThrow();
    written(ann);
    expect(clone.applyRemote(first).displaced).toHaveLength(1);
    expect(clone.applyRemote(late).skipped).toMatchObject([{ reason: "sequence-taken" }]);
    expect(clone.takeActor(new Uint8Array(16).fill(1))).toBe(false);
    expect(clone.takeActor(new Uint8Array(16).fill(3))).toBe(true);
    // What gave way can still be read and made again.
    const patches = DocumentState.editsOf(module, late.at(-1)!, [...first, ...late]);
    clone.retry(patches);
    written(clone);
    expect(clone.snapshot.text).toBe("clone");
  });
});
