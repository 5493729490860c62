/** The handle of a document: what it makes one event of, what it shows when, and what it does with refusals. */
import { beforeEach, expect, test, vi } from "vitest";
import { defineDocument, defineStream, event } from "../src/index.js";
import type { ChangeRejection, Origin, StandardSchema } from "../src/index.js";
import { foreignChange, layer } from "./fake-document.js";
import { json } from "./fake-engine.js";
import { eventually, settle, World } from "./world.js";

vi.mock("../src/document/index.js", () => import("./fake-document.js"));

interface Note { title: string; body: string; done?: boolean }
const Note = defineDocument<Note>({ defaults: { title: "", body: "" } });

beforeEach(() => {
  layer.loads = 0;
  layer.opened.length = 0;
  layer.failing = null;
});

async function openNote(world: World, name: string) {
  const client = world.client();
  const note = client.document(Note, name);
  note.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  if (world.engine.at(name).log.length === 0) world.engine.answer(name, false);
  await note.ready;
  return { client, note };
}

test("an app without documents never loads the document layer; a handle alone opens nothing", async () => {
  const world = new World();
  const client = world.client();
  await client.stream(defineStream({ events: { closed: event() } }), "s").append({ type: "closed" }).saved;
  const note = client.document(Note, "n");
  expect(client.document(Note, "n")).toBe(note);
  expect(() => note.change((d) => { d.title = "x"; })).toThrow(expect.objectContaining({ code: "not-ready" }));
  expect(layer.loads).toBe(0);
  expect(world.engine.calls).not.toContain("open n");
});

test("changes show at once, and those of one frame are one event with one write", async () => {
  const world = new World();
  const { note } = await openNote(world, "n1");
  expect(note.getSnapshot()).toEqual({ title: "", body: "" });
  const one = note.change((d) => { d.title = "a"; });
  const two = note.change((d) => { d.body = "b"; });
  expect(note.getSnapshot()).toEqual({ title: "a", body: "b" });
  expect(two).toBe(one);
  expect(note.status.getSnapshot().savedOn).toBe("none");
  expect(world.engine.at("n1").outbox).toHaveLength(0);
  await eventually(() => one.getSnapshot().stage === "saved");
  expect(world.engine.at("n1").outbox).toHaveLength(1);
  expect(note.change(() => undefined).getSnapshot()).toEqual({ stage: "empty" });
  world.engine.confirm("n1");
  await two.accepted;
  await eventually(() => note.status.getSnapshot().savedOn === "relay");
});

test("asking for saved closes the open change at once; another message begins a new one", async () => {
  const world = new World();
  const { note } = await openNote(world, "n2");
  const first = note.change((d) => { d.title = "a"; });
  void first.saved;
  const second = note.change((d) => { d.title = "b"; });
  const third = note.change((d) => { d.title = "c"; }, { message: "renamed" });
  expect(second).not.toBe(first);
  expect(third).not.toBe(second);
  await Promise.all([first.saved, second.saved, third.saved]);
  expect(world.engine.at("n2").outbox).toHaveLength(3);
});

test("a change on top of an own one that the log has not shown says so, and else not", async () => {
  const world = new World();
  const { note } = await openNote(world, "n3");
  await note.change((d) => { d.title = "a"; }).saved;
  await note.change((d) => { d.title = "b"; }).saved;
  world.engine.confirm("n3");
  await settle();
  await note.change((d) => { d.title = "c"; }).saved;
  expect(world.engine.dependents).toEqual([false, true, false]);
});

test("remote changes come once a frame, with the open change closed before them", async () => {
  const world = new World();
  const { note } = await openNote(world, "n4");
  const steps: [Origin, string][] = [];
  note.onChange(({ origin, after }) => steps.push([origin, `${after.title}/${after.body}`]));
  world.engine.deliver("n4", [foreignChange({ title: "1" })], 2);
  world.engine.deliver("n4", [foreignChange({ title: "2" })], 2);
  await settle(15); // they are here and wait for the frame, which comes before that of the change
  const write = note.change((d) => { d.body = "mine"; });
  await eventually(() => steps.some(([origin]) => origin === "remote"));
  expect(steps).toEqual([["local", "/mine"], ["remote", "2/mine"]]);
  expect(note.status.getSnapshot().phase).toBe("ready");
  await write.saved;
});

test("what throws in an edit, or is refused by the schema, reaches the caller and nothing is applied", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "n5");
  const before = note.getSnapshot();
  const own = new RangeError("the app's own");
  expect(() => note.change(() => { throw own; })).toThrow(own);
  expect(() => note.change((d) => { (d as unknown as { f: unknown }).f = () => 1; })).toThrow(expect.objectContaining({ name: "SyncError", code: "invalid-value", stream: "n5" }));
  const short: StandardSchema<{ title: string }> = {
    "~standard": { version: 1, vendor: "test", validate: (value) => ((value as Note).title.length > 3 ? { issues: [{ message: "too long" }] } : { value: value as Note }) },
  };
  const Short = defineDocument({ schema: short, defaults: { title: "" } });
  const checked = client.document(Short, "n5");
  await checked.ready;
  expect(() => checked.change((d) => { d.title = "long"; })).toThrow("too long");
  expect(note.getSnapshot()).toBe(before);
  await settle();
  expect(world.engine.at("n5").outbox).toHaveLength(0);
});

test("another tab's change shows before the relay has seen it, and two handles of a page do too", async () => {
  const world = new World();
  const { note: left } = await openNote(world, "n6");
  const { note: right } = await openNote(world, "n6");
  const origins: Origin[] = [];
  right.onChange(({ origin }) => origins.push(origin));
  await left.change((d) => { d.title = "from left"; }).saved;
  await eventually(() => right.getSnapshot()!.title === "from left");
  expect(origins).toEqual(["other-tab"]);
  const Other = defineDocument<Note>({ defaults: { title: "", body: "" } });
  const again = world.clients[0]!.document(Other, "n6");
  await again.ready;
  expect(again.getSnapshot()!.title).toBe("from left");
  await again.change((d) => { d.title = "from the third"; }).saved;
  await eventually(() => left.getSnapshot()!.title === "from the third" && right.getSnapshot()!.title === "from the third");
});

test("a document opens with the log and with the writes of an earlier life on top", async () => {
  const world = new World();
  const mine = foreignChange({ body: "pending" });
  world.prepare = (engine) => {
    engine.connection = { state: "offline" };
    engine.deliver("n7", [foreignChange({ title: "logged" })], 2);
    engine.at("n7").outbox.push({ id: "x:1", offset: null, kind: 2, time: 1, author: null, payload: mine, causes: {}, state: "unsent" });
  };
  const note = world.client().document(Note, "n7");
  await note.ready;
  expect(note.getSnapshot()).toEqual({ title: "logged", body: "pending" });
  expect(layer.opened[0]).toMatchObject({ pending: 1 });
  expect(layer.opened[0]!.payloads).toHaveLength(2);
  expect(layer.opened[0]!.actor).toHaveLength(16);
});

test("a refused change is taken out with all that depends on it, and its edits can be made again", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "n8");
  client.rejections.subscribe(() => undefined);
  const origins: Origin[] = [];
  const refused = note.change((d) => { d.title = "forbidden"; });
  await refused.saved;
  const dependent = note.change((d) => { d.body = "on top"; });
  await dependent.saved;
  note.onChange(({ origin }) => origins.push(origin));
  world.engine.refuse("n8", "no-such-title", "Not that title");
  await expect(refused.accepted).rejects.toMatchObject({ code: "rejected", rejection: { code: "no-such-title" } });
  await eventually(() => note.getSnapshot()!.title === "");
  expect(note.getSnapshot()).toEqual({ title: "", body: "" });
  expect(origins).toEqual(["rejection"]);
  world.engine.refuse("n8", "depends-on-rejected", "");
  await expect(dependent.accepted).rejects.toMatchObject({ rejection: { code: "depends-on-rejected" } });

  await eventually(() => client.rejections.getSnapshot().length === 2);
  await eventually(() => client.rejections.getSnapshot().every((r) => r.kind === "change" && r.patches.length === 1));
  const [title, body] = client.rejections.getSnapshot() as ChangeRejection[];
  expect(title!.patches).toEqual([{ action: "put", path: ["title"], value: "forbidden" }]);
  expect(body!.patches).toEqual([{ action: "put", path: ["body"], value: "on top" }]);
  const again = body!.retry();
  await again.saved;
  await eventually(() => note.getSnapshot()!.body === "on top");
  await eventually(() => client.rejections.getSnapshot().length === 1);
  await title!.discard();
  await eventually(() => client.rejections.getSnapshot().length === 0);
  expect(note.getSnapshot()).toEqual({ title: "", body: "on top" });
});

test("a change that could not be saved stays in the page, counts as unsaved, and goes first when it can", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "n9");
  client.status.subscribe(() => undefined);
  world.engine.failing = "storage-full";
  const lost = note.change((d) => { d.title = "kept"; });
  await expect(lost.saved).rejects.toMatchObject({ code: "storage-full" });
  await settle();
  expect(note.getSnapshot()!.title).toBe("kept");
  expect(client.status.getSnapshot().savedOn).toBe("none");
  expect(note.status.getSnapshot().savedOn).toBe("none");
  world.engine.failing = null;
  await note.change((d) => { d.body = "later"; }).saved;
  const sets = world.engine.at("n9").outbox.map(({ payload }) => (JSON.parse(new TextDecoder().decode(payload)) as { sets: unknown }).sets);
  expect(sets).toEqual([{ title: "kept" }, { body: "later" }]);
  await eventually(() => client.status.getSnapshot().savedOn === "device");
});

test("a change that can never be saved leaves the document; what was made on top of it meanwhile is made again without it", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "n16");
  client.status.subscribe(() => undefined);
  world.engine.holding = true;
  const large = note.change((d) => { d.title = "too large"; });
  void large.saved;
  const queued = note.change((d) => { d.body = "on top"; });
  void queued.saved;
  const open = note.change((d) => { d.done = true; });
  await settle(20);
  expect(world.engine.dependents).toHaveLength(1); // nothing is handed over on top of what may still fail
  world.engine.holding = false;
  world.engine.failing = "too-large";
  world.engine.saveAll();
  world.engine.failing = null;
  await expect(large.saved).rejects.toMatchObject({ code: "too-large" });
  await Promise.all([queued.saved, open.saved]);
  expect(note.getSnapshot()).toEqual({ title: "", body: "on top", done: true });
  const log = world.engine.at("n16").outbox.map(({ payload }) => JSON.parse(new TextDecoder().decode(payload)) as { deps: string[]; sets: unknown });
  expect(log.map(({ sets }) => sets)).toEqual([{ body: "on top" }, { done: true }]);
  expect(log[0]!.deps).toEqual([]); // not on the change that no log will ever hold
  world.engine.confirm("n16");
  await eventually(() => client.status.getSnapshot().savedOn === "relay");
});

test("what is no change of a document is skipped and counted", async () => {
  const world = new World();
  world.prepare = (engine) => engine.deliver("n10", [foreignChange({ title: "a" }), new Uint8Array([7])], 2);
  const { note } = await openNote(world, "n10");
  expect(note.getSnapshot()!.title).toBe("a");
  expect(note.status.getSnapshot().invalid).toBe(1);
  world.engine.deliver("n10", [json("event")], 1);
  await eventually(() => note.status.getSnapshot().invalid === 2);
});

test("a stream's name opened as a document is told", async () => {
  const world = new World();
  world.prepare = (engine) => engine.deliver("n11", [json("event")], 1);
  const note = world.client().document(Note, "n11");
  await expect(note.ready).rejects.toMatchObject({ code: "wrong-kind" });
});

test("a document layer that cannot be loaded fails the document with engine-failed, not the page", async () => {
  const world = new World();
  layer.failing = new Error("404");
  const client = world.client({ assets: { document: "nowhere.wasm" } });
  await expect(client.document(Note, "n12").ready).rejects.toMatchObject({ code: "engine-failed" });
  expect(await client.stream(defineStream({ events: { closed: event() } }), "s").append({ type: "closed" }).saved).not.toBeNull();
});

test("another log leaves the document as it is and goes on from there", async () => {
  const world = new World();
  const { note } = await openNote(world, "n13");
  world.engine.deliver("n13", [foreignChange({ title: "before" })], 2);
  await eventually(() => note.getSnapshot()!.title === "before");
  world.engine.replace("n13", "f".repeat(32));
  world.engine.deliver("n13", [foreignChange({ body: "after" })], 2);
  await eventually(() => note.getSnapshot()!.body === "after");
  expect(note.getSnapshot()).toEqual({ title: "before", body: "after" });
});

test("flush and close send the open change first", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "n14");
  const write = note.change((d) => { d.title = "last words"; });
  const last = note.getSnapshot();
  await client.close();
  expect(await write.saved).toContain(":1");
  expect(note.getSnapshot()).toBe(last); // a handle keeps its last snapshot
  expect(() => note.change((d) => { d.title = "too late"; })).toThrow(expect.objectContaining({ code: "closed" }));
});

test("import writes what was new, and nothing for what was known", async () => {
  const world = new World();
  const { note } = await openNote(world, "n15");
  const file = foreignChange({ title: "imported" });
  const write = note.import(file);
  expect(note.getSnapshot()!.title).toBe("imported");
  await write.saved;
  expect(world.engine.at("n15").outbox.map(({ payload }) => payload)).toEqual([file]);
  expect(note.import(file).getSnapshot()).toEqual({ stage: "empty" });
});
