/** Streams and views over the host, with an engine that does what the test says. */
import { expect, test } from "vitest";
import { defineStream, defineView, event } from "../src/index.js";
import type { Logged, Offset, StandardSchema, SyncError } from "../src/index.js";
import type { InferEvent } from "../src/index.js";
import { json } from "./fake-engine.js";
import { eventually, settle, World } from "./world.js";

const even: StandardSchema<{ n: number }> = {
  "~standard": {
    version: 1, vendor: "test",
    validate: (value) => {
      const n = (value as { n?: unknown } | undefined)?.n;
      return typeof n === "number" && n % 2 === 0 ? { value: { n } } : { issues: [{ message: "not even" }] };
    },
  },
};
const Orders = defineStream({
  events: { paid: event<{ amount: number }>(), closed: event(), even },
  upcast: {
    old: (old: { type: string; payload: { euros: number } }) => ({ type: "paid", payload: { amount: old.payload.euros * 100 } }),
    gone: () => null,
    twice: () => [{ type: "paid", payload: { amount: 1 } }, { type: "paid", payload: { amount: 1 } }],
  },
});
type Order = Logged<InferEvent<typeof Orders>>;
const Total = defineView(Orders, { name: "total", initial: 0, reduce: (sum, e) => (e.type === "paid" ? sum + e.payload.amount : sum) });
const Seen = defineView(Orders, { name: "seen", initial: [] as readonly Order[], reduce: (list, e) => [...list, e] });

test("an append shows at once, is saved, accepted, and seen in the log once", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/1");
  const total = orders.view(Total);
  const shown: (number | undefined)[] = [];
  total.subscribe(() => shown.push(total.getSnapshot()));
  expect(total.getSnapshot()).toBeUndefined();
  await eventually(() => world.engine !== undefined);
  world.engine.answer("orders/1", false);
  await total.ready;
  expect(total.getSnapshot()).toBe(0);

  const write = orders.append({ type: "paid", payload: { amount: 12 } });
  expect(total.getSnapshot()).toBe(12); // synchronously, before anything is saved
  expect(total.accepted.getSnapshot()).toBe(0);
  expect(write.getSnapshot()).toEqual({ stage: "unsaved" });
  expect(orders.status.getSnapshot().savedOn).toBe("none");
  const id = await write.saved;
  expect(id).toBe(`${"a".repeat(32)}:1`);
  expect(write.getSnapshot()).toEqual({ stage: "saved", id });

  world.engine.confirm("orders/1");
  await write.accepted;
  await eventually(() => total.accepted.getSnapshot() === 12);
  expect(total.getSnapshot()).toBe(12);
  await eventually(() => "offset" in write.getSnapshot() && (write.getSnapshot() as { offset: Offset | null }).offset !== null);
  expect((write.getSnapshot() as unknown as { offset: string }).offset).toBe(`${"e".repeat(32)}.1.${"1".padStart(32, "c")}`);
  expect(shown).toEqual([0, 12]);
  expect("then" in write).toBe(false);
});

test("writes of equal number in two streams are told apart", async () => {
  const world = new World();
  const client = world.client();
  const [one, two] = [client.stream(Orders, "orders/1"), client.stream(Orders, "orders/2")];
  const writes = [one, two].map((orders) => orders.append({ type: "paid", payload: { amount: 1 } }));
  const ids = await Promise.all(writes.map((write) => write.saved));
  expect(ids[0]).toBe(ids[1]); // an id is unique in its stream only
  world.engine.confirm("orders/1");
  await writes[0]!.accepted;
  expect(writes[1]!.getSnapshot().stage).toBe("saved");
  expect(client.status.getSnapshot().savedOn).toBe("device");
  world.engine.refuse("orders/2", "insufficient-funds", "Not enough");
  await expect(writes[1]!.accepted).rejects.toMatchObject({ code: "rejected" });
  expect(writes[0]!.getSnapshot().stage).toBe("accepted");
});

test("a refused event is undone, explained, and can be retried or discarded", async () => {
  const world = new World();
  const client = world.client();
  const orders = client.stream(Orders, "orders/2");
  const total = orders.view(Total);
  total.subscribe(() => undefined);
  orders.rejections.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.answer("orders/2", false);
  await total.ready;
  const first = orders.append({ type: "paid", payload: { amount: 5 } });
  const second = orders.append({ type: "paid", payload: { amount: 7 } });
  await second.saved;
  expect(total.getSnapshot()).toBe(12);
  world.engine.refuse("orders/2", "insufficient-funds", "Not enough");
  await expect(first.accepted).rejects.toMatchObject({ code: "rejected", message: "Not enough", rejection: { code: "insufficient-funds", reason: "Not enough" } });
  await eventually(() => total.getSnapshot() === 7);
  expect(first.getSnapshot().stage).toBe("rejected");
  await eventually(() => client.rejections.getSnapshot().length === 1);
  const [refused] = orders.rejections.getSnapshot();
  expect(refused).toMatchObject({ kind: "event", stream: "orders/2", code: "insufficient-funds", event: { type: "paid", payload: { amount: 5 } } });
  expect(client.rejections.getSnapshot()[0]).toBe(refused);
  expect(client.status.getSnapshot().rejected).toBe(1);

  const retried = refused!.retry({ type: "paid", payload: { amount: 3 } });
  expect(total.getSnapshot()).toBe(10);
  await retried.saved;
  await eventually(() => orders.rejections.getSnapshot().length === 0);
  expect(world.engine.refused).toEqual([]);

  world.engine.refuse("orders/2", "no", "");
  await eventually(() => orders.rejections.getSnapshot().length === 1);
  await orders.rejections.getSnapshot()[0]!.discard();
  await eventually(() => orders.rejections.getSnapshot().length === 0);
  await eventually(() => total.getSnapshot() === 3);
});

test("two streams' refused events with one id are two entries, and each write hears of its own", async () => {
  const world = new World();
  const client = world.client();
  const [one, two] = [client.stream(Orders, "orders/15"), client.stream(Orders, "orders/16")];
  client.rejections.subscribe(() => undefined);
  const writes = [one.append({ type: "closed" }), two.append({ type: "paid", payload: { amount: 1 } })];
  const ids = await Promise.all(writes.map((write) => write.saved));
  expect(ids[0]).toBe(ids[1]); // an id is unique within its stream only
  world.engine.refuse("orders/15", "no", "one");
  await expect(writes[0]!.accepted).rejects.toMatchObject({ message: "one", stream: "orders/15" });
  expect(writes[1]!.getSnapshot().stage).toBe("saved");
  world.engine.refuse("orders/16", "no", "two");
  await expect(writes[1]!.accepted).rejects.toMatchObject({ message: "two", stream: "orders/16" });
  await eventually(() => client.rejections.getSnapshot().length === 2);
  await client.rejections.getSnapshot()[1]!.discard();
  await eventually(() => client.rejections.getSnapshot().length === 1);
  expect(client.rejections.getSnapshot()[0]).toMatchObject({ stream: "orders/15", event: { type: "closed" } });
});

test("an ignored failure is no unhandled rejection; an awaited one throws", async () => {
  const world = new World();
  world.prepare = (engine) => { engine.failing = "storage-full"; };
  const orders = world.client().stream(Orders, "orders/3");
  const total = orders.view(Total);
  total.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.answer("orders/3", false);
  await total.ready;
  const write = orders.append({ type: "paid", payload: { amount: 1 } });
  expect(total.getSnapshot()).toBe(1);
  await eventually(() => write.getSnapshot().stage === "failed");
  expect(total.getSnapshot()).toBe(0);
  await settle(); // vitest fails the run for a rejection that nobody handled
  await expect(write.saved).rejects.toMatchObject({ code: "storage-full", stream: "orders/3" });
  await expect(write.accepted).rejects.toMatchObject({ code: "storage-full" });
});

test("what is no event of the definition is refused at once, and nothing is written", () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/4");
  const bad = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      return (error as SyncError).code;
    }
    return "nothing thrown";
  };
  expect(bad(() => orders.append({ type: "nope" } as never))).toBe("invalid-value");
  expect(bad(() => orders.append({ type: "even", payload: { n: 3 } }))).toBe("invalid-value");
  expect(bad(() => orders.append({ type: "paid", payload: { amount: NaN } }))).toBe("invalid-value");
  expect(bad(() => orders.append({ type: "paid", payload: { amount: new Date() } } as never))).toBe("invalid-value");
  expect(world.engine).toBeUndefined(); // nothing was started for it
});

test("old shapes are upcast, unknown types skipped and told, invalid ones counted", async () => {
  const world = new World();
  const client = world.client();
  const orders = client.stream(Orders, "orders/5");
  const [total, seen] = [orders.view(Total), orders.view(Seen)];
  total.subscribe(() => undefined);
  seen.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.deliver("orders/5", [
    json("old", { euros: 2 }), json("gone"), json("twice"), json("even", { n: 3 }), new Uint8Array([0xff, 0]), json("even", { n: 4 }),
  ]);
  await eventually(() => total.getSnapshot() === 202);
  expect(orders.status.getSnapshot()).toMatchObject({ outdated: false, invalid: 2 });
  expect(seen.getSnapshot()!.map((e) => e.type)).toEqual(["paid", "paid", "paid", "even"]);
  world.engine.deliver("orders/5", [json("tomorrow", 1), json("paid", { amount: 1 })]);
  await eventually(() => total.getSnapshot() === 203);
  await eventually(() => orders.status.getSnapshot().outdated);
  expect(client.status.getSnapshot().outdated).toBe(true);
});

test("a view that opens late reads the log in pages and meets the live events without a seam", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/6");
  const release = orders.keepOpen();
  await eventually(() => world.engine !== undefined);
  const payloads = Array.from({ length: 5000 }, (_, n) => json("paid", { amount: 1, note: "x".repeat(80), n }));
  world.engine.deliver("orders/6", payloads);
  const total = orders.view(Seen);
  total.subscribe(() => undefined);
  for (let n = 0; n < 40; n += 1) {
    world.engine.deliver("orders/6", [json("paid", { amount: 2 })]);
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await eventually(() => total.getSnapshot()?.length === 5040);
  const offsets = total.getSnapshot()!.map((e) => Number(e.offset!.split(".")[1]));
  expect(offsets).toEqual(Array.from({ length: 5040 }, (_, n) => n + 1));
  expect(world.engine.calls.filter((call) => call.startsWith("read orders/6")).length).toBeGreaterThan(2);
  release();
});

test("own writes that come back in the log are in the view exactly once, whatever came between", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/7");
  const seen = orders.view(Seen);
  seen.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.answer("orders/7", false);
  await seen.ready;
  for (let n = 0; n < 3; n += 1) orders.append({ type: "paid", payload: { amount: n } });
  await settle(20);
  world.engine.deliver("orders/7", [json("closed")]);
  world.engine.confirm("orders/7", 2);
  await settle();
  expect(seen.getSnapshot()!.map((e) => [e.type, e.pending, e.offset !== null])).toEqual([
    ["closed", false, true], ["paid", false, true], ["paid", false, true], ["paid", true, false],
  ]);
  expect(seen.accepted.getSnapshot()!.length).toBe(3);
});

test("while one view still reads, another one does not count twice what it has seen in the log already", async () => {
  const world = new World();
  world.prepare = (engine) => engine.deliver("orders/14", Array.from({ length: 9000 }, () => json("paid", { amount: 1, note: "x".repeat(80) })));
  const orders = world.client().stream(Orders, "orders/14");
  const first = orders.view(Total);
  let most = 0;
  first.subscribe(() => { most = Math.max(most, first.getSnapshot() ?? 0); });
  await first.ready;
  await orders.append({ type: "paid", payload: { amount: 1 } }).saved;
  const late = orders.view(Seen); // needs several pages until it meets the event
  late.subscribe(() => undefined);
  world.engine.confirm("orders/14");
  await eventually(() => first.accepted.getSnapshot() === 9001);
  await eventually(() => late.getSnapshot()?.length === 9001);
  await settle();
  expect(late.getSnapshot()!.filter((e) => e.pending)).toEqual([]);
  expect(most).toBe(9001);
  expect(first.getSnapshot()).toBe(9001);
});

test("two tabs see each other's pending events, and one engine serves both", async () => {
  const world = new World();
  const [one, two] = [world.client().stream(Orders, "orders/8"), world.client().stream(Orders, "orders/8")];
  const [left, right] = [one.view(Seen), two.view(Seen)];
  left.subscribe(() => undefined);
  right.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.answer("orders/8", false);
  await Promise.all([left.ready, right.ready]);
  const write = one.append({ type: "closed" });
  await write.saved;
  await eventually(() => right.getSnapshot()?.length === 1);
  expect(right.getSnapshot()![0]).toMatchObject({ type: "closed", pending: true, offset: null, id: await write.saved });
  two.append({ type: "paid", payload: { amount: 1 } });
  await eventually(() => left.getSnapshot()?.length === 2);
  world.engine.confirm("orders/8");
  await eventually(() => left.accepted.getSnapshot()?.length === 2 && right.accepted.getSnapshot()?.length === 2);
  expect(left.getSnapshot()).toHaveLength(2);
});

test("pending writes of an earlier life show on top after a reload", async () => {
  const world = new World();
  world.prepare = (engine) => {
    const stream = engine.at("orders/9");
    stream.outbox.push({ id: "x:1", offset: null, kind: 1, time: 1, author: null, payload: json("paid", { amount: 9 }), causes: {}, state: "unsent" });
  };
  const total = world.client().stream(Orders, "orders/9").view(Total);
  await total.ready; // no answer of the relay was needed
  expect(total.getSnapshot()).toBe(9);
  expect(total.accepted.getSnapshot()).toBe(0);
});

test("another log resets the view and keeps what is pending", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/10");
  const total = orders.view(Total);
  total.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.deliver("orders/10", [json("paid", { amount: 100 })]);
  await total.ready;
  await orders.append({ type: "paid", payload: { amount: 1 } }).saved;
  world.engine.replace("orders/10", "f".repeat(32));
  world.engine.deliver("orders/10", [json("paid", { amount: 40 })]);
  await eventually(() => total.getSnapshot() === 41);
  expect(total.accepted.getSnapshot()).toBe(40);
});

test("read replays to the head, goes on where it stopped, and refuses an offset of another log", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/11");
  const release = orders.keepOpen();
  await eventually(() => world.engine !== undefined);
  world.engine.at("orders/11").caughtUp = true;
  world.engine.deliver("orders/11", Array.from({ length: 3000 }, (_, n) => json("paid", { amount: n, note: "y".repeat(200) })));
  let last: Offset | null = null;
  let sum = 0;
  const progress: number[] = [];
  for await (const e of orders.read({ onProgress: (part) => progress.push(part) })) {
    if (e.type === "paid") sum += e.payload.amount;
    last = e.offset;
  }
  expect(sum).toBe((2999 * 3000) / 2);
  expect(progress.at(-1)).toBe(1);
  expect([...progress].sort((a, b) => a - b)).toEqual(progress);

  world.engine.deliver("orders/11", [json("paid", { amount: 7 }), json("closed")]);
  const later: string[] = [];
  for await (const e of orders.read({ after: last! })) later.push(e.type);
  expect(later).toEqual(["paid", "closed"]);

  const parts = last!.split(".");
  const elsewhere = async (offset: string): Promise<void> => { for await (const _ of orders.read({ after: offset as Offset })) return; };
  await expect(elsewhere(["0".repeat(32), parts[1], parts[2]].join("."))).rejects.toMatchObject({ code: "log-replaced" });
  await expect(elsewhere([parts[0], parts[1], "0".repeat(32)].join("."))).rejects.toMatchObject({ code: "log-replaced" });
  await expect(elsewhere([parts[0], "999999", parts[2]].join("."))).rejects.toMatchObject({ code: "log-replaced" });
  await expect(elsewhere("17")).rejects.toMatchObject({ code: "invalid-value" });
  release();
});

test("read with follow goes on with new events until it is aborted", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/12");
  const stop = new AbortController();
  const got: number[] = [];
  const reading = (async () => {
    for await (const e of orders.read({ follow: true, signal: stop.signal })) if (e.type === "paid") got.push(e.payload.amount);
  })();
  reading.catch(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.deliver("orders/12", [json("paid", { amount: 1 })]);
  await eventually(() => got.length === 1);
  world.engine.deliver("orders/12", [json("paid", { amount: 2 })]);
  await eventually(() => got.length === 2);
  stop.abort(new Error("enough"));
  await expect(reading).rejects.toThrow("enough");
});

test("a reducer that throws fails its view with the event's type, and no other", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders/13");
  const Broken = defineView(Orders, { name: "broken", initial: 0, reduce: (n, e) => { if (e.type === "closed") throw new Error("secret"); return n + 1; } });
  const [broken, total] = [orders.view(Broken), orders.view(Total)];
  broken.subscribe(() => undefined);
  total.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  world.engine.deliver("orders/13", [json("paid", { amount: 1 }), json("closed"), json("paid", { amount: 2 })]);
  await expect(broken.ready).rejects.toMatchObject({ code: "invalid-value" });
  expect(broken.status.getSnapshot()).toMatchObject({ phase: "failed" });
  expect(broken.status.getSnapshot().error!.message).not.toContain("secret");
  await total.ready;
  expect(total.getSnapshot()).toBe(3);
});

test("what this device holds is listed by prefix, with kind and size, and followed while it is watched", async () => {
  const world = new World();
  const client = world.client();
  const orders = client.stream(Orders, "orders/held");
  await orders.append({ type: "closed" }).saved;
  const list = client.streams("orders/");
  expect(client.streams("orders/")).toBe(list);
  const stop = list.subscribe(() => undefined);
  await eventually(() => list.getSnapshot().length === 1);
  expect(list.getSnapshot()[0]).toMatchObject({ name: "orders/held", kind: "stream", usedBytes: 0, pending: 1 });
  world.engine.confirm("orders/held");
  world.engine.deliver("other/held", [new Uint8Array([1])], 2);
  await eventually(() => list.getSnapshot()[0]?.pending === 0);
  expect(list.getSnapshot()[0]!.usedBytes).toBeGreaterThan(0);
  const all = client.streams();
  const stopAll = all.subscribe(() => undefined);
  await eventually(() => all.getSnapshot().length === 2);
  expect(all.getSnapshot()[1]).toMatchObject({ name: "other/held", kind: "document" });
  stop();
  stopAll();
});

test("a view of a stream whose beginning is only in a snapshot fails with history-cut, and so does reading it", async () => {
  const world = new World();
  world.prepare = (engine) => {
    engine.deliver("orders/cut", [json("closed"), json("closed")]);
    engine.at("orders/cut").snapshot = { bytes: new Uint8Array(3), offset: 1 };
  };
  const orders = world.client().stream(Orders, "orders/cut");
  await expect(orders.view(Total).ready).rejects.toMatchObject({ code: "history-cut" });
  const reading = async (): Promise<void> => {
    for await (const event of orders.read()) throw new Error(`an event was told: ${event.type}`);
  };
  await expect(reading()).rejects.toMatchObject({ code: "history-cut" });
});
