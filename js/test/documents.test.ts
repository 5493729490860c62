/** The handle of a document: what it makes one event of, what it shows when, and what it does with refusals. */
import { beforeEach, expect, test, vi } from "vitest";
import { defineDocument, defineStream, event } from "../src/index.js";
import type { ChangeRejection, Origin, StandardSchema, SyncError, WriteHandle } from "../src/index.js";
import { foreignChange, hashOf, layer } from "./fake-document.js";
import { json } from "./fake-engine.js";
import { eventually, settle, turns, World } from "./world.js";

vi.mock("../src/document/index.js", () => import("./fake-document.js"));

interface Note { title: string; body: string; done?: boolean }
const Note = defineDocument<Note>({ defaults: { title: "", body: "" } });

beforeEach(() => {
  layer.loads = 0;
  layer.opened.length = 0;
  layer.failing = null;
  layer.replaced = 0;
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

test("what changed nothing is accepted when what was written before it is", async () => {
  const world = new World();
  const { note } = await openNote(world, "empty");
  const nothing = (): WriteHandle => note.change(() => undefined);
  expect(await nothing().accepted).toBeNull();
  const answered: string[] = [];
  const follow = (name: string, { accepted }: WriteHandle): void => void accepted.then((id) => answered.push(`${name} ${id}`), ({ code }: SyncError) => answered.push(`${name} ${code}`));
  const write = note.change((d) => { d.title = "a"; });
  follow("open", nothing());
  await write.saved;
  follow("saved", nothing());
  const { note: other } = await openNote(world, "empty");
  await eventually(() => other.getSnapshot()?.title === "a");
  follow("another tab's", other.change(() => undefined));
  await settle();
  expect(answered).toEqual([]);
  world.engine.confirm("empty");
  await eventually(() => answered.length === 3);
  expect(answered).toEqual(["open null", "saved null", "another tab's null"]);
  await note.change((d) => { d.title = "b"; }).saved;
  follow("refused", nothing());
  world.engine.refuse("empty", "no", "");
  await eventually(() => answered.length === 4);
  expect(answered[3]).toBe("refused rejected");
});

test("on its way to the relay a change is never said to be safer than it is, not even for a moment", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "never-too-safe");
  const told: Record<string, string[]> = { client: [], note: [] };
  for (const [name, { status }] of Object.entries({ client, note })) {
    status.subscribe(() => {
      const { savedOn } = status.getSnapshot();
      if (told[name]!.at(-1) !== savedOn) told[name]!.push(savedOn);
    });
  }
  const write = note.change((d) => { d.title = "a"; });
  await write.saved;
  await eventually(() => client.status.getSnapshot().savedOn === "device" && note.status.getSnapshot().savedOn === "device");
  world.engine.confirm("never-too-safe");
  await write.accepted;
  await eventually(() => client.status.getSnapshot().savedOn === "relay" && note.status.getSnapshot().savedOn === "relay");
  expect(told).toEqual({ client: ["none", "device", "relay"], note: ["none", "device", "relay"] });
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
  await settle(); // its actor is leased, which would apply what came
  const steps: [Origin, string][] = [];
  note.onChange(({ origin, after }) => steps.push([origin, `${after.title}/${after.body}`]));
  world.engine.deliver("n4", [foreignChange({ title: "1" })], 2);
  world.engine.deliver("n4", [foreignChange({ title: "2" })], 2);
  await turns(); // they are here and wait for the frame, which comes before that of the change
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

test("a change that can never be saved waits among the rejections; what was made on top of it meanwhile is made again without it", async () => {
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
  expect(client.status.getSnapshot().rejected).toBe(1);
  await client.close();
  const { client: next, note: again } = await openNote(world, "n16"); // it outlives the page
  const listed = (): ChangeRejection[] => next.rejections.getSnapshot() as ChangeRejection[];
  next.rejections.subscribe(() => undefined);
  await eventually(() => listed()[0]?.patches.length === 1);
  expect(listed()).toMatchObject([{ kind: "change", code: "too-large", stream: "n16", patches: [{ path: ["title"], value: "too large" }] }]);
  const first = listed()[0]!;
  world.engine.failing = "too-large";
  await expect(first.retry().saved).rejects.toMatchObject({ code: "too-large" });
  await eventually(() => listed().length === 1 && listed()[0]!.id !== first.id); // the new try takes its place
  world.engine.failing = null;
  await listed()[0]!.retry().saved;
  await eventually(() => listed().length === 0 && again.getSnapshot()!.title === "too large");
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
  expect(layer.replaced).toBe(1); // of two changes with one number the new log's first counts
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
  expect(note.status.getSnapshot().savedOn).toBe("none");
  await write.saved;
  expect(note.getSnapshot()!.title).toBe("imported");
  expect(world.engine.at("n15").outbox.map(({ payload }) => payload)).toEqual([file]);
  expect(await note.import(file).saved).toBeNull();
  await expect(note.import(new Uint8Array(9)).saved).rejects.toMatchObject({ code: "invalid-value", stream: "n15" });
});

const leased = (device: string, page: number): string => device + page.toString(16).padStart(31, "0");

test("a document is written under the page's leased actor once the relay agrees with the device, and under another after a fork", async () => {
  const world = new World();
  layer.actors.length = 0;
  const { client, note } = await openNote(world, "lease");
  await eventually(() => layer.actors.length === 1);
  expect(layer.actors).toEqual([leased("a", 0)]); // `openNote` lets the relay answer
  const other = client.document(defineDocument<Note>({ defaults: { title: "", body: "" } }), "lease");
  await other.ready;
  await turns();
  expect(layer.actors).toHaveLength(1); // two documents of one page would meet in their numbers
  const tab = world.client();
  await tab.document(Note, "lease").ready;
  await eventually(() => layer.actors.length > 1);
  expect(layer.actors).toEqual([leased("a", 0), leased("a", 1)]);
  world.engine.at("lease").caughtUp = false; // the connection is gone
  world.engine.tellState("lease");
  const write = note.change((d) => { d.title = "open"; });
  world.engine.device = "f";
  world.engine.answer("lease", true);
  await eventually(() => layer.actors.length === 4);
  expect(layer.actors.slice(2).sort()).toEqual([leased("f", 0), leased("f", 1)]);
  await write.saved; // the open change was closed for it
});

test("a document is not leased an actor before the relay has answered", async () => {
  const world = new World();
  layer.actors.length = 0;
  world.prepare = (engine) => engine.at("alone").log.push({ id: "b:1", offset: 1, kind: 2, time: 0, author: null, payload: foreignChange({ title: "t" }), causes: {} });
  await world.client().document(Note, "alone").ready;
  await turns();
  expect(layer.actors).toEqual([]);
});

test("own changes that gave way to a copy of this profile become rejections, and can be made again", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "twin");
  const write = note.change((d) => { d.title = "mine"; });
  await write.saved;
  const { payload } = world.engine.at("twin").outbox[0]!;
  world.engine.holding = true;
  const unsaved = note.change((d) => { d.body = "on top"; });
  await settle(40); // handed over, and not saved yet
  world.engine.deliver("twin", [foreignChange({ title: "the twin's" }, [], hashOf(payload))], 2);
  await eventually(() => note.getSnapshot()?.title === "the twin's");
  expect(note.getSnapshot()?.body).toBe("");
  world.engine.holding = false;
  world.engine.saveAll();
  await eventually(() => client.rejections.getSnapshot().length === 2);
  expect(write.getSnapshot()).toMatchObject({ stage: "rejected", error: { rejection: { code: "profile-copied" } } });
  expect(unsaved.getSnapshot().stage).toBe("rejected");
  world.engine.confirm("twin"); // it goes its way in the log, where nobody can apply it
  await settle();
  expect(client.rejections.getSnapshot()).toHaveLength(2);
  expect(note.getSnapshot()).toMatchObject({ title: "the twin's", body: "" });
  for (const rejection of client.rejections.getSnapshot()) await rejection.retry().saved;
  await eventually(() => client.rejections.getSnapshot().length === 0);
  await eventually(() => note.getSnapshot()?.body === "on top"); // from another handle: at the next frame
  expect(note.getSnapshot()?.title).toBe("mine");
});

test.each(["before the own one", "in one batch with it"])("the same change of a copy of this profile, %s, leaves nothing of the own one: it becomes a rejection", async (when) => {
  const world = new World();
  const { client, note } = await openNote(world, "equal");
  const write = note.change((d) => { d.title = "both"; });
  await write.saved;
  const copied = world.engine.fork("equal");
  if (when === "before the own one") {
    world.engine.confirm("equal", 0, copied);
    await eventually(() => client.rejections.getSnapshot().length === 1);
    expect(write.getSnapshot()).toMatchObject({ stage: "rejected", id: world.engine.at("equal").outbox[0]!.id, error: { rejection: { code: "profile-copied" } } });
    expect(note.getSnapshot()?.title).toBe("both"); // the copy's
    world.engine.confirm("equal");
  } else world.engine.confirm("equal", Infinity, copied);
  await eventually(() => client.rejections.getSnapshot().length === 1);
  await settle();
  expect(world.engine.calls.filter((call) => call.startsWith("reject"))).toEqual([`reject equal ${world.engine.at("equal").log[1]!.id}`]);
  expect(note.getSnapshot()?.title).toBe("both");
});

test("the same change of a copy of this profile is told to a page that was loaded since, too", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "equal2");
  await note.change((d) => { d.title = "both"; }).saved;
  await client.close();
  const { client: next } = await openNote(world, "equal2");
  world.engine.confirm("equal2", 0, world.engine.fork("equal2"));
  await eventually(() => next.rejections.getSnapshot().length === 1);
});

test("the same change of a copy of this profile under an actor that is given up only then becomes a rejection, too", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "equal3");
  await settle(); // the actor is leased
  await note.change((d) => { d.title = "both"; }).saved;
  world.engine.deliver("equal3", [world.engine.at("equal3").outbox[0]!.payload], 2);
  await settle();
  expect(client.rejections.getSnapshot()).toEqual([]); // so far it might come of a file that another device imported
  world.engine.device = "f";
  world.engine.answer("equal3", true);
  world.engine.at("equal3").caughtUp = false;
  world.engine.tellState("equal3");
  world.engine.answer("equal3", true);
  await eventually(() => client.rejections.getSnapshot().length === 1);
  expect(note.getSnapshot()?.title).toBe("both");
});

test("who came first with a change that a copy of this profile made too, and whoever imported the same file, is told nothing", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "first");
  await note.change((d) => { d.title = "both"; }).saved;
  const copied = world.engine.fork("first");
  world.engine.confirm("first");
  world.engine.confirm("first", 0, copied);
  await note.import(foreignChange({ body: "from a file" })).saved;
  world.engine.deliver("first", world.engine.at("first").outbox.map(({ payload }) => payload), 2);
  await settle();
  world.engine.confirm("first");
  await settle();
  expect(client.rejections.getSnapshot()).toEqual([]);
  expect(note.getSnapshot()).toEqual({ title: "both", body: "from a file" });
});

test("a document whose log begins with a snapshot opens with it", async () => {
  const world = new World();
  world.prepare = (engine) => {
    engine.deliver("cut", [foreignChange({ title: "gone" }), foreignChange({ body: "kept" })], 2);
    engine.at("cut").snapshot = { bytes: foreignChange({ title: "from the snapshot" }), offset: 1 };
  };
  const note = world.client().document(Note, "cut");
  await note.ready;
  expect(note.getSnapshot()).toEqual({ title: "from the snapshot", body: "kept" });
});

test("a whole document in the log is read on its own; one that cannot be read is skipped and counted", async () => {
  const world = new World();
  world.prepare = (engine) => engine.deliver("whole", [foreignChange({ title: "whole" }), new Uint8Array([1])], 3);
  const note = world.client().document(Note, "whole");
  await note.ready;
  expect(note.getSnapshot()!.title).toBe("whole");
  expect(note.status.getSnapshot().invalid).toBe(1);
  world.engine.deliver("whole", [foreignChange({ body: "more" })], 3);
  await eventually(() => note.getSnapshot()?.body === "more");
});

test("an own change that comes back in one batch with the copy's change that took its place becomes a rejection, once", async () => {
  const world = new World();
  const { client, note } = await openNote(world, "twin2");
  const write = note.change((d) => { d.title = "mine"; });
  await write.saved;
  const taken = foreignChange({ title: "the twin's" }, [], hashOf(world.engine.at("twin2").outbox[0]!.payload));
  world.engine.confirm("twin2", Infinity, [{ id: "b:1", offset: 1, kind: 2, time: 0, author: null, payload: taken, causes: {} }]);
  await eventually(() => client.rejections.getSnapshot().length === 1);
  await settle();
  expect(world.engine.calls.filter((call) => call.startsWith("reject"))).toHaveLength(1);
  expect(note.getSnapshot()!.title).toBe("the twin's");
  await client.rejections.getSnapshot()[0]!.retry().saved;
  await eventually(() => note.getSnapshot()!.title === "mine");
});
