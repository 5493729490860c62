/** An oracle that cannot complain proves nothing: each promise is broken once, and it says so. */
import { expect, it } from "vitest";
import type { Fate } from "./ledger.js";
import { differences, judge, type DeviceDisk, type Known, type StoreFile } from "./oracle.js";
import type { Shared, Shown } from "./page/shapes.js";

const COMMENTS = "comments/1";
const NOTES = "notes/1";

function fate(token: string, more: Partial<Fate> = {}): Fate {
  const id = `aa:${token}`;
  return { token, device: "a", stream: COMMENTS, refused: false, begunAt: 1, savedAt: 2, acceptedAt: 3, rejected: null, failed: null, ids: new Set([id]), ...more };
}

/** A round in which these writes were made and these events are in the relay's log, and all disks agree. */
function round({ fates, logged = fates.map(({ token }) => token), text = "", known = {} }: {
  fates: readonly Fate[]; logged?: readonly string[]; text?: string; known?: Partial<Known>;
}): { known: Known; store: StoreFile; disks: DeviceDisk[] } {
  const events = logged.map((token, index) => ({ offset: index + 1, id: `aa:${token}`, kind: 1, payload: { type: "added", payload: { token, text: "" } } }));
  const shownEvents = events.map(({ id, payload }) => ({ id, token: payload.payload.token }));
  const value: Shared = { text, items: {}, list: [], last: "" };
  const heads = ["h"];
  const shown: Shown = {
    savedOn: "relay", pending: 0, behind: 0, connection: "connected", errors: [],
    documents: { [NOTES]: { phase: "ready", value, heads, invalid: 0 } },
    views: { [COMMENTS]: { phase: "ready", events: shownEvents.map((event) => ({ ...event, pending: false })) } },
    rejections: [],
  };
  return {
    known: { ledger: { fates: new Map(fates.map((each) => [each.token, each])) }, losses: [], rollbacks: [], originals: new Map(), ...known },
    store: {
      problems: [],
      streams: [
        { name: COMMENTS, head: events.length, events, refused: [], document: null },
        { name: NOTES, head: 1, events: [], refused: [], document: { value: structuredClone(value), heads: [...heads], skipped: 0, waiting: 0 } },
      ],
    },
    disks: ["a", "b"].map((device) => ({ device, shown: structuredClone(shown), logs: { [COMMENTS]: structuredClone(shownEvents) } })),
  };
}

const problemsOf = ({ known, store, disks }: ReturnType<typeof round>): readonly string[] => judge(known, store, disks).problems;

it("finds nothing wrong with a round that went well", () => {
  expect(problemsOf(round({ fates: [fate("[a1]"), fate("[a2]", { acceptedAt: null })] }))).toEqual([]);
});

it("misses what was saved, or accepted, and is nowhere", () => {
  expect(problemsOf(round({ fates: [fate("[a1]", { acceptedAt: null })], logged: [] }))).toEqual([expect.stringContaining("was saved, and is neither in the log nor rejected")]);
  expect(problemsOf(round({ fates: [fate("[a1]")], logged: [] }))).toEqual([expect.stringContaining("was accepted, and is not in the log")]);
  expect(problemsOf(round({ fates: [fate("[a1]", { savedAt: null, acceptedAt: null })], logged: [] }))).toEqual([]);
});

it("notices what is there twice, and what nobody wrote", () => {
  expect(problemsOf(round({ fates: [fate("[a1]")], logged: ["[a1]", "[a1]"] }))).toEqual([expect.stringContaining("in the log 2 times")]);
  expect(problemsOf(round({ fates: [fate("[a1]", { stream: NOTES })], logged: [], text: "[a1][a1]" }))).toEqual([expect.stringContaining("in the log 2 times")]);
  expect(problemsOf(round({ fates: [], logged: ["[x1]"] }))).toEqual([expect.stringContaining("nobody wrote it")]);
  expect(problemsOf(round({ fates: [fate("[a1]", { stream: NOTES })], logged: [], text: "[[a1]" })).join()).toContain("not made of whole tokens");
});

it("notices what was refused and is shown", () => {
  expect(problemsOf(round({ fates: [fate("[a1]", { refused: true })] }))).toEqual([expect.stringContaining("rules refuse it")]);
  const both = round({ fates: [fate("[a1]")] });
  const disks = both.disks.map((disk) => ({ ...disk, shown: { ...disk.shown, rejections: [{ stream: COMMENTS, id: "aa:[a1]", code: "x", text: '{"token":"[a1]"}' }] } }));
  expect(problemsOf({ ...both, disks })).toEqual([expect.stringContaining("in the log, and among the rejections of a, b")]);
});

it("takes a rejection only from the author's disk, or from a copy of it", () => {
  const refused = round({ fates: [fate("[a1]", { acceptedAt: null, rejected: "x", refused: true })], logged: [] });
  const on = (device: string): DeviceDisk[] => refused.disks.map((disk) => ({
    ...disk, shown: { ...disk.shown, rejections: disk.device === device ? [{ stream: COMMENTS, id: "aa:[a1]", code: "x", text: '{"token":"[a1]"}' }] : [] },
  }));
  expect(problemsOf({ ...refused, disks: on("a") })).toEqual([]);
  expect(problemsOf({ ...refused, disks: on("b") })).toHaveLength(1);
  expect(problemsOf({ ...refused, known: { ...refused.known, originals: new Map([["b", "a"]]) }, disks: on("b") })).toEqual([]);
});

it("misses what was accepted and then rejected, unless a copy of its profile explains it", () => {
  const taken = round({ fates: [fate("[a1]", { rejected: "x" })], logged: [] });
  const rejections = [{ stream: COMMENTS, id: "aa:[a1]", code: "x", text: '{"token":"[a1]"}' }];
  const disks = taken.disks.map((disk) => ({ ...disk, shown: { ...disk.shown, rejections: disk.device === "a" ? rejections : [] } }));
  expect(problemsOf({ ...taken, disks })).toEqual([expect.stringContaining("was accepted, and then rejected")]);
  const rolledBack = { ...taken.known, losses: [{ device: "a", rule: "profile rolled back", from: 0, to: 1 }] };
  const cloned = { ...taken.known, originals: new Map([["a-clone", "a"]]) };
  for (const known of [rolledBack, cloned]) {
    expect(judge(known, taken.store, disks)).toMatchObject({ problems: [], excused: { "rejected to a copy of its profile": 1 } });
  }
});

it("excuses what a fault took, by name, and no more than that", () => {
  const losses = [{ device: "a", rule: "storage cleared", from: 0, to: 10 }];
  const lost = (more: Partial<Fate>, known: Partial<Known>): ReturnType<typeof judge> => {
    const made = round({ fates: [fate("[a1]", more)], logged: [], known });
    return judge(made.known, made.store, made.disks);
  };
  expect(lost({ acceptedAt: null }, { losses })).toMatchObject({ problems: [], excused: { "storage cleared": 1 } });
  expect(lost({ acceptedAt: null, savedAt: 11 }, { losses }).problems).toHaveLength(1);
  expect(lost({ acceptedAt: null, device: "b" }, { losses }).problems).toHaveLength(1);
  expect(lost({}, { losses }).problems).toHaveLength(1); // the relay had it
  expect(lost({}, { losses, rollbacks: [{ from: 2, to: 9 }] })).toMatchObject({ problems: [], excused: { "storage cleared, and relay rolled back": 1 } });
  expect(lost({}, { losses, rollbacks: [{ from: 5, to: 9 }] }).problems).toHaveLength(1); // the copy had it
  expect(lost({}, { rollbacks: [{ from: 2, to: 9 }] }).problems).toHaveLength(1); // its author has it still
});

it("compares each disk with the relay's log", () => {
  const good = round({ fates: [fate("[a1]"), fate("[a2]")] });
  const spoil = (change: (disk: DeviceDisk) => void): readonly string[] => {
    const disks = structuredClone(good.disks);
    change(disks[1]!);
    return problemsOf({ ...good, disks });
  };
  type Open<T> = { -readonly [K in keyof T]: T[K] extends object ? Open<T[K]> : T[K] };
  expect(spoil((disk) => (disk.logs as Open<DeviceDisk["logs"]>)[COMMENTS]!.reverse())).toEqual([expect.stringContaining("the disk of b: comments/1 is not the relay's log")]);
  expect(spoil((disk) => (disk.shown.views as Open<Shown["views"]>)[COMMENTS]!.events.pop())).toEqual([expect.stringContaining("the view of comments/1")]);
  expect(spoil((disk) => ((disk.shown.documents as Open<Shown["documents"]>)[NOTES]!.value!.text = "other"))).toEqual([expect.stringContaining("notes/1 is not the document")]);
  expect(spoil((disk) => ((disk.shown.documents as Open<Shown["documents"]>)[NOTES]!.heads[0] = "other"))).toEqual([expect.stringContaining("other heads")]);
  expect(spoil((disk) => ((disk.shown as Open<Shown>).pending = 1))).toEqual([expect.stringContaining("wait in the outbox")]);
});

it("says why pages are not equal yet", () => {
  const [disk] = round({ fates: [fate("[a1]")] }).disks;
  const { shown } = disk!;
  expect(differences([["a", shown], ["b", structuredClone(shown)]])).toBeNull();
  expect(differences([["a", shown], ["b", { ...shown, pending: 1 }]])).toContain("b has 1 writes");
  expect(differences([["a", shown], ["b", { ...shown, connection: "waiting" }]])).toContain("b is waiting");
  expect(differences([["a", shown], ["b", { ...shown, errors: ["storage-full"] }]])).toContain("b complains: storage-full");
  expect(differences([["a", shown], ["b", { ...shown, views: { [COMMENTS]: { phase: "ready", events: [] } } }]])).toContain("show different comments/1");
});
