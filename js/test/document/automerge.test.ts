/** Documents, changes and conflicts go both ways with `@automerge/automerge`, for every type. */
import * as Automerge from "@automerge/automerge";
import { describe, expect, test } from "vitest";
import { Counter, ImmutableString, splice } from "../../src/document/index.js";
import { module, open, written } from "./world.js";

type Any = Record<string, any>;

/** One value of every type, in our classes or in Automerge's. */
const everything = (kind: { Counter: new (value: number) => unknown; ImmutableString: new (value: string) => unknown }): Any => ({
  text: "häl😀lo", id: new kind.ImmutableString("id-1"), counter: new kind.Counter(3), date: new Date(1_600_000_000_500), bytes: Uint8Array.of(0, 1, 255),
  nothing: null, yes: true, no: false, int: -42, big: 2 ** 52, float: 0.25, list: [1, "two", { three: [3] }, new kind.Counter(1)], map: { a: { b: "c" } },
});

/** Automerge's values as our snapshots show them. */
const shown = (value: any): unknown => {
  if (value instanceof Automerge.Counter) return value.value;
  if (Automerge.isImmutableString(value)) return value.toString();
  if (value instanceof Date || value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(shown);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, shown(inner)]));
};

/** Kinds and types of a change's operations. Their order within one assigned tree is of no meaning. */
const operations = (change: Uint8Array): string[] =>
  Automerge.decodeChange(change).ops.map(({ action, datatype, insert, value }: any) => `${action} ${datatype} ${insert} ${value}`).sort();

const kinds = { Counter: Automerge.Counter as never, ImmutableString: Automerge.ImmutableString as never };
const ours = { Counter, ImmutableString };

describe("with the current @automerge/automerge", () => {
  test("it opens our documents, and each value is of the same type", () => {
    const document = open<Any>(1);
    document.change((draft) => void Object.assign(draft, everything(ours)));
    written(document);
    const theirs = Automerge.load<Any>(document.export());
    expect(shown(theirs)).toEqual(document.snapshot);
    expect(theirs["counter"]).toBeInstanceOf(Automerge.Counter);
    expect(theirs["list"][3]).toBeInstanceOf(Automerge.Counter);
    expect(Automerge.isImmutableString(theirs["id"])).toBe(true);
    expect(typeof theirs["text"]).toBe("string");
    expect(Automerge.getHeads(theirs)).toEqual(document.heads());
  });

  test("we open its documents, and each value is of the same type", () => {
    const theirs = Automerge.change(Automerge.init<Any>(), (draft) => void Object.assign(draft, everything(kinds)));
    const document = open<Any>(1, { payloads: [Automerge.save(theirs)] });
    expect(document.snapshot).toEqual(shown(theirs));
    document.change((draft) => {
      draft["counter"].increment();
      draft["list"][3].increment(4);
      splice(draft, "text" as never, 0, 1, "H");
      expect(() => splice(draft, "id" as never, 0, 0, "x")).toThrow("immutable");
    });
    expect(document.snapshot).toMatchObject({ counter: 4, text: "Häl😀lo" });
    const [merged] = Automerge.applyChanges(theirs, written(document));
    expect(shown(merged)).toEqual(document.snapshot);
  });

  test("both write the same operations for the same edits", () => {
    const actor = "05".repeat(16);
    const document = open<Any>(5);
    let theirs = Automerge.load<Any>(document.export(), { actor });
    const edits: ((draft: Any, kind: typeof ours, edit: (draft: Any, key: string, index: number, del: number, insert: string) => void) => void)[] = [
      (draft, kind) => { for (const [key, value] of Object.entries(everything(kind as never))) draft[key] = value; },
      (draft, _, edit) => edit(draft, "text", 3, 2, "🎉"),
      (draft) => { draft["counter"].increment(2); draft["list"].push("end"); draft["list"].splice(0, 1); delete draft["map"]; },
      (draft) => { draft["int"] = 1.5; draft["date"] = new Date(7); draft["list"][0] = null; },
    ];
    for (const edit of edits) {
      document.change((draft) => edit(draft, ours, (at, key, index, del, insert) => splice(at as never, key as never, index, del, insert)));
      const payload = written(document, 1000).at(-1)!;
      theirs = Automerge.change(theirs, { time: 1 }, (draft) => edit(draft, kinds as never, (at, key, index, del, insert) => Automerge.splice(at as never, [key], index, del, insert)));
      expect(shown(theirs)).toEqual(document.snapshot);
      expect(operations(payload)).toEqual(operations(Automerge.getLastLocalChange(theirs)!));
    }
  });

  test("changes go both ways, one by one and concurrently, with the same conflicts", () => {
    const document = open<Any>(1, { defaults: { text: "start", list: [], counter: new Counter() } });
    let theirs = Automerge.load<Any>(document.export(), { actor: "02".repeat(16) });
    const send = (): void => void ([theirs] = Automerge.applyChanges(theirs, written(document)));
    const take = (edit: (draft: Any) => void) => {
      theirs = Automerge.change(theirs, { time: 5 }, edit);
      return Automerge.getLastLocalChange(theirs)!;
    };
    // One after the other: each of its changes can be replayed here.
    for (let round = 0; round < 5; round++) {
      document.change((draft) => { splice(draft, "text" as never, 0, 0, `${round}`); draft["list"].push({ round }); draft["counter"].increment(); });
      send();
      const change = take((draft) => { Automerge.splice(draft, ["text"], 2, 1, "👍🏽"); draft["list"][0].by = "them"; draft["counter"].increment(2); draft[`key${round}`] = everything(kinds); });
      expect(document.applyRemote([change])).toMatchObject({ replayed: 1, rebuilt: 0, skipped: [] });
      expect(document.snapshot).toEqual(shown(theirs));
    }
    // At the same time.
    for (let round = 0; round < 5; round++) {
      const change = take((draft) => { draft["status"] = `theirs ${round}`; Automerge.splice(draft, ["text"], 1, 1, "t"); draft["counter"].increment(); draft["list"].unshift("t"); });
      document.change((draft) => { draft["status"] = new ImmutableString(`ours ${round}`); splice(draft, "text" as never, 1, 1, "o"); draft["counter"].increment(); draft["list"].shift(); });
      send();
      document.applyRemote([change]);
      expect(document.snapshot).toEqual(shown(theirs));
      expect(document.heads()).toEqual(Automerge.getHeads(theirs));
      const conflicts = Object.values(Automerge.getConflicts(theirs, "status")!).map(shown);
      expect(new Set(document.conflicts(["status"]).map(({ value }) => value))).toEqual(new Set(conflicts));
      expect(document.conflicts(["status"]).find(({ winner }) => winner)!.value).toEqual(shown(theirs["status"]));
    }
  });

  test("files merge in both directions", () => {
    const document = open<Any>(1);
    document.change((draft) => void (draft["ours"] = everything(ours)));
    written(document);
    const theirs = Automerge.change(Automerge.init<Any>(), (draft) => void (draft["theirs"] = everything(kinds)));
    const { step, changes } = document.import(module.Document.changesOf(Automerge.save(theirs)));
    expect(changes.map(({ hash }) => hash)).toEqual(Automerge.getAllChanges(theirs).map((change) => Automerge.decodeChange(change).hash));
    expect(step.after).toEqual(document.snapshot);
    const merged = Automerge.merge(theirs, Automerge.load<Any>(document.export()));
    expect(shown(merged)).toEqual(document.snapshot);
    expect(document.import(module.Document.changesOf(Automerge.save(merged))).changes).toEqual([]);
    expect(() => module.Document.changesOf(new Uint8Array(50))).toThrow();
  });

  test("its rich text is read as text, and what we cannot show changes nothing", () => {
    let theirs = Automerge.change(Automerge.init<Any>("03".repeat(16)), (draft) => void (draft["text"] = "rich text"));
    const document = open<Any>(1, { payloads: [Automerge.save(theirs)] });
    [theirs] = Automerge.applyChanges(theirs, [...document.import(module.Document.changesOf(Automerge.save(theirs))).changes].map(({ bytes }) => bytes));
    theirs = Automerge.change(theirs, (draft) => Automerge.mark(draft, ["text"], { start: 0, end: 4, expand: "both" }, "bold", true));
    expect(document.applyRemote([Automerge.getLastLocalChange(theirs)!])).toMatchObject({ skipped: [], patches: [], rebuilt: 0 });
    theirs = Automerge.change(theirs, (draft) => Automerge.splice(draft, ["text"], 4, 0, "er"));
    document.applyRemote([Automerge.getLastLocalChange(theirs)!]);
    theirs = Automerge.change(theirs, (draft) => Automerge.splice(draft, ["text"], 0, 1, "R"));
    document.applyRemote([Automerge.getLastLocalChange(theirs)!]);
    expect(document.snapshot["text"]).toBe("Richer text");
    document.change((draft) => splice(draft, "text" as never, 6, 0, "!"));
    const [merged] = Automerge.applyChanges(theirs, written(document));
    expect(document.snapshot).toEqual(shown(merged));
  });
});
