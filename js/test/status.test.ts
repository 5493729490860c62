/** What a badge shows: where things are saved, readiness, flush. */
import { expect, test, vi, afterEach } from "vitest";
import { createClient, defineStream, defineView, event } from "../src/index.js";
import type { EngineConnection } from "../src/engine/engine.js";
import { json } from "./fake-engine.js";
import { eventually, settle, turns, World } from "./world.js";

const Orders = defineStream({ events: { paid: event<{ amount: number }>(), closed: event() } });
const Count = defineView(Orders, { name: "count", initial: 0, reduce: (n) => n + 1 });

afterEach(() => vi.useRealTimers());

test("savedOn goes none, device, relay, and never says more than is true", async () => {
  const world = new World();
  const client = world.client();
  const said: string[] = [];
  client.status.subscribe(() => {
    const { savedOn } = client.status.getSnapshot();
    if (said.at(-1) !== savedOn) said.push(savedOn);
  });
  world.prepare = (engine) => { engine.holding = true; };
  const orders = client.stream(Orders, "orders");
  orders.append({ type: "closed" });
  expect(client.status.getSnapshot().savedOn).toBe("none");
  await eventually(() => world.engine !== undefined);
  await settle(20);
  expect(client.status.getSnapshot().savedOn).toBe("none");
  world.engine.saveAll();
  await eventually(() => client.status.getSnapshot().savedOn === "device");
  expect(client.status.getSnapshot().pending).toBe(1);
  world.engine.confirm("orders");
  await eventually(() => client.status.getSnapshot().savedOn === "relay");
  await eventually(() => orders.status.getSnapshot().savedOn === "relay");
  expect(said).toEqual(["none", "device", "relay"]);
});

test("what is saved is said to be, in the status too, by the time its write says so", async () => {
  const world = new World();
  const client = world.client();
  client.status.subscribe(() => undefined);
  const orders = client.stream(Orders, "orders");
  const write = orders.append({ type: "closed" });
  const seen = new Promise<string>((resolve) => write.subscribe(() => resolve(client.status.getSnapshot().savedOn)));
  await write.saved;
  expect(client.status.getSnapshot()).toMatchObject({ savedOn: "device", pending: 1 });
  expect(orders.status.getSnapshot().savedOn).toBe("device");
  expect(await seen).toBe("device");
  const [first, second] = [orders.append({ type: "closed" }), orders.append({ type: "closed" })];
  await first.saved;
  expect(client.status.getSnapshot().savedOn).toBe("none"); // the second is not
  await second.saved;
  expect(client.status.getSnapshot().savedOn).toBe("device");
});

test("in memory, nothing waiting for the relay counts as saved", async () => {
  const world = new World();
  world.prepare = (engine) => { engine.durability = "memory"; };
  const client = world.client();
  client.status.subscribe(() => undefined);
  await client.stream(Orders, "orders").append({ type: "closed" }).saved;
  await eventually(() => client.status.getSnapshot().storage.durability === "memory");
  expect(client.status.getSnapshot().savedOn).toBe("none");
});

test("a write that could not be saved is told, and gone from the list", async () => {
  const world = new World();
  world.prepare = (engine) => {
    engine.failing = "storage-full";
    engine.storageError = { code: "storage-full", message: "the quota is used up", retryable: false };
  };
  const client = world.client();
  client.status.subscribe(() => undefined);
  const write = client.stream(Orders, "orders").append({ type: "closed" });
  await expect(write.saved).rejects.toMatchObject({ code: "storage-full" });
  await eventually(() => client.status.getSnapshot().storage.error?.code === "storage-full");
});

test("status keeps its reference while it says the same", async () => {
  const world = new World();
  const client = world.client();
  const listener = vi.fn();
  client.status.subscribe(listener);
  await eventually(() => client.status.getSnapshot().connection.state === "connected");
  const before = client.status.getSnapshot();
  listener.mockClear();
  world.engine.tellStatus();
  await settle(20);
  expect(client.status.getSnapshot()).toBe(before);
  expect(listener).not.toHaveBeenCalled();
});

test("ready waits for the relay while it is connected, and shows nothing as if it knew", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders");
  const count = orders.view(Count);
  let isReady = false;
  void count.ready.then(() => { isReady = true; });
  const release = orders.keepOpen();
  await settle();
  expect(isReady).toBe(false);
  expect(orders.status.getSnapshot()).toMatchObject({ phase: "loading", exists: "unknown" });
  world.engine.at("orders").exists = true; // the relay has something, and it is on its way
  world.engine.tellState("orders");
  await settle();
  expect(isReady).toBe(false);
  world.engine.deliver("orders", [json("closed")]);
  await eventually(() => isReady);
  expect(count.getSnapshot()).toBe(1);
  release();
});

const error = { code: "not-on-device", message: "the relay cannot be reached", retryable: true };
const lost = { error, closed: null };
test.each<EngineConnection>([
  { state: "offline" },
  { state: "waiting", retryAt: 0, ...lost },
  { state: "needs-auth", ...lost },
  { state: "stopped", ...lost },
])("while nobody would answer, an unknown stream is ready at once, and says that it is unknown: $state", async (connection) => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }); // whoever waits for a timer waits for ever
  const world = new World();
  world.prepare = (engine) => { engine.connection = connection; };
  const orders = world.client().stream(Orders, "orders");
  await orders.ready;
  expect(orders.status.getSnapshot()).toMatchObject({ phase: "ready", exists: "unknown" });
});

test("each failed try to connect is told once, with what is known about it", async () => {
  const world = new World();
  const lines: string[] = [];
  const client = world.client({ onLog: ({ message }) => lines.push(message) });
  client.status.subscribe(() => undefined);
  await eventually(() => client.status.getSnapshot().connection.state === "connected");
  const tell = async (connection: EngineConnection): Promise<void> => {
    world.engine.connection = connection;
    world.engine.tellStatus();
    world.engine.tellStatus();
    await turns();
  };
  await tell({ state: "connecting" });
  const retryAt = Date.now() - 1; // so that the line is the same however long this takes
  await tell({ state: "waiting", retryAt, error, closed: { code: 4000, reason: "GoingAway" } });
  expect(client.status.getSnapshot().connection).toEqual({
    state: "waiting", waitsFor: "relay", retryAt, error: { ...error, stream: null, message: "the relay cannot be reached (close code 4000: GoingAway)" },
  });
  await tell({ state: "connecting" });
  await tell({ state: "waiting", retryAt, error, closed: { code: 1006, reason: "" } });
  await tell({ state: "connecting" });
  const stopped = { code: "engine-failed", message: "", retryable: false };
  await tell({ state: "stopped", error: stopped, closed: { code: 4106, reason: "ForeignOrigin" } });
  expect(client.status.getSnapshot().connection).toMatchObject({ state: "stopped", error: { code: "access-denied" } });
  expect(lines).toEqual([
    "not connected: the relay cannot be reached (close code 4000: GoingAway); 1 in a row, the next try is in 0.0 s",
    "not connected: the relay cannot be reached (close code 1006); 2 in a row, the next try is in 0.0 s",
    "not connected: the relay does not let pages of <origin> in: start it with --origin <origin>",
  ]);
});

test("a stream that waits for the relay is ready the moment the connection is given up", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const world = new World();
  world.prepare = (engine) => { engine.connection = { state: "connecting" }; };
  const orders = world.client().stream(Orders, "orders");
  const release = orders.keepOpen();
  await turns();
  expect(orders.status.getSnapshot().phase).toBe("loading");
  world.engine.connection = { state: "waiting", retryAt: 0, ...lost };
  world.engine.tellStatus();
  await orders.ready;
  release();
});

test("while the device connects, an unknown stream is ready after 3 s, and says that it is unknown", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const world = new World();
  world.prepare = (engine) => { engine.connection = { state: "connecting" }; };
  const orders = world.client().stream(Orders, "orders");
  let isReady = false;
  const release = orders.keepOpen();
  void orders.ready.then(() => { isReady = true; });
  const pass = async (ms: number): Promise<void> => {
    await turns();
    await vi.advanceTimersByTimeAsync(ms);
    await turns();
  };
  await pass(2900);
  expect(isReady).toBe(false);
  await pass(200);
  expect(isReady).toBe(true);
  expect(orders.status.getSnapshot()).toMatchObject({ phase: "ready", exists: "unknown" });
  release();
});

test("what is on this device is ready at once, with no network at all", async () => {
  const world = new World();
  world.prepare = (engine) => {
    engine.connection = { state: "offline" };
    engine.deliver("orders", [json("closed"), json("closed")]);
  };
  const count = world.client().stream(Orders, "orders").view(Count);
  await count.ready;
  expect(count.getSnapshot()).toBe(2);
  expect(count.status.getSnapshot()).toMatchObject({ phase: "ready", exists: true });
});

test("without a relay there is nobody to wait for, and nothing gets further than the device", async () => {
  const world = new World();
  const { ClientImpl } = await import("../src/client.js");
  const client = new ClientImpl({ database: "test" }, world.link());
  client.status.subscribe(() => undefined);
  const orders = client.stream(Orders, "orders");
  await orders.ready;
  await eventually(() => client.status.getSnapshot().connection.state === "connected");
  expect(client.status.getSnapshot().savedOn).toBe("device");
  orders.append({ type: "closed" });
  await client.flush();
  await orders.caughtUp();
  expect(orders.status.getSnapshot()).toMatchObject({ savedOn: "device", pending: 1 });
  await client.close();
});

test("flush resolves when every write is answered, refusals included, and gives up on abort", async () => {
  const world = new World();
  const client = world.client();
  const orders = client.stream(Orders, "orders");
  orders.append({ type: "closed" });
  orders.append({ type: "closed" });
  let flushed = false;
  const flushing = client.flush().then(() => { flushed = true; });
  await settle();
  expect(flushed).toBe(false);
  await expect(client.flush({ signal: AbortSignal.timeout(10) })).rejects.toMatchObject({ name: "TimeoutError" });
  world.engine.confirm("orders", 1);
  await settle();
  expect(flushed).toBe(false);
  world.engine.refuse("orders", "no", "");
  await flushing;
});

test("caughtUp asks the relay again, and rejects with the signal's reason", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders");
  orders.keepOpen();
  await eventually(() => world.engine !== undefined);
  world.engine.answer("orders", true);
  await settle(10);
  let done = false;
  const asking = orders.caughtUp().then(() => { done = true; });
  await eventually(() => world.engine.calls.includes("refresh orders"));
  await settle(10);
  world.engine.tellState("orders"); // some other news
  await settle(10);
  expect(done).toBe(false); // what was known before the question is no answer to it
  world.engine.answer("orders", true); // nothing new, which is an answer
  await asking;
  await expect(orders.caughtUp({ signal: AbortSignal.timeout(10) })).rejects.toMatchObject({ name: "TimeoutError" });
});

test("a document's name opened as a stream is told, and nothing is read into it", async () => {
  const world = new World();
  world.prepare = (engine) => engine.deliver("board", [new Uint8Array([1])], 2);
  const board = world.client().stream(Orders, "board");
  await expect(board.ready).rejects.toMatchObject({ code: "wrong-kind", stream: "board" });
  expect(board.status.getSnapshot()).toMatchObject({ phase: "failed", error: { code: "wrong-kind" } });
});

test("a name that is none is refused where the handle is asked for", () => {
  const client = new World().client();
  for (const name of ["", "a//b", "/a", "a/", "..", "a/./b", "ä", "a b", "x".repeat(201)]) {
    expect(() => client.stream(Orders, name)).toThrow(expect.objectContaining({ code: "invalid-name" }));
  }
  expect(client.stream(Orders, "boards/42/A-z_0.9~").name).toBe("boards/42/A-z_0.9~");
});

test("a client does nothing until it is used, and stays inert where there is no browser", async () => {
  const client = createClient({ database: "x", url: "wss://relay.test" });
  expect(client.status.getSnapshot()).toMatchObject({ connection: { state: "idle" }, savedOn: "relay" });
  client.status.subscribe(() => undefined);
  const handle = client.stream(Orders, "orders");
  expect(client.stream(Orders, "orders")).toBe(handle);
  expect(handle.view(Count)).toBe(handle.view(Count));
  handle.view(Count).subscribe(() => undefined);
  await settle(10);
  expect(client.status.getSnapshot().connection.state).toBe("idle");
});
