/** The conversation between pages and their host: versions, locks, vanished pages, tokens, the window. */
import { afterEach, expect, test, vi } from "vitest";
import { defineStream, event } from "../src/index.js";
import { engineLockName, hostLockName, hostName, PAGE_WINDOW_BYTES, PROTOCOL_VERSION, pageLockName, type HostMessage, type PageMessage } from "../src/engine/protocol.js";
import { greet } from "../src/engine/greeting.js";
import { json } from "./fake-engine.js";
import { eventually, FakeLocks, settle, turns, World } from "./world.js";

const Orders = defineStream({ events: { paid: event<{ amount: number }>(), closed: event() } });

afterEach(() => vi.useRealTimers());

/** A page that speaks for itself. */
function rawPage(world: World, hello: Partial<Extract<PageMessage, { type: "hello" }>> = {}) {
  const { port1, port2 } = new MessageChannel();
  const heard: HostMessage[] = [];
  greet(port2, () => world.host);
  port1.onmessage = ({ data }: MessageEvent<HostMessage>) => void heard.push(data);
  const say = (message: PageMessage): void => port1.postMessage(message);
  say({ type: "hello", protocol: PROTOCOL_VERSION, page: "raw", locked: false, again: false, engine: world.engineOptions, wasm: null, hasToken: false, offline: false, ...hello });
  return { heard, say, port: port1 };
}

test("a page of another version is refused and sees outdated-app; the engine is not started for it", async () => {
  const world = new World();
  const page = rawPage(world, { protocol: PROTOCOL_VERSION + 1 });
  await eventually(() => page.heard.length === 1);
  expect(page.heard).toEqual([{ type: "refused", protocol: PROTOCOL_VERSION }]);
  expect(world.engine).toBeUndefined();
  page.port.close();
});

test("a host of another version: the client stops with outdated-app, and everything asked of it fails", async () => {
  const world = new World();
  const link = world.link();
  const { ClientImpl } = await import("../src/client.js");
  const client = new ClientImpl({ url: "wss://relay.test", database: "test" }, {
    ...link,
    ports: [() => {
      const { port1, port2 } = new MessageChannel();
      port2.onmessage = () => port2.postMessage({ type: "refused", protocol: 99 });
      return port1;
    }],
  });
  const orders = client.stream(Orders, "orders");
  await expect(orders.ready).rejects.toMatchObject({ code: "outdated-app" });
  expect(client.status.getSnapshot()).toMatchObject({ outdated: true, connection: { state: "stopped", error: { code: "outdated-app" } } });
  expect(orders.status.getSnapshot()).toMatchObject({ phase: "failed", error: { code: "outdated-app" } });
  expect(() => orders.append({ type: "closed" })).toThrow("another build");
});

test("the end of a host's process, of which nothing tells, ends its pages with a word", async () => {
  const world = new World();
  let die = (): void => undefined;
  void world.locks.request(hostLockName("mortal"), () => new Promise<void>((resolve) => { die = resolve; }));
  const { ClientImpl } = await import("../src/client.js");
  const client = new ClientImpl({ url: "wss://relay.test", database: "test" }, {
    ...world.link(),
    ports: [() => {
      const { port1, port2 } = new MessageChannel();
      port2.onmessage = () => port2.postMessage({ type: "alive", host: "mortal" } satisfies HostMessage);
      return port1;
    }],
  });
  client.status.subscribe(() => undefined);
  await turns();
  expect(client.status.getSnapshot().connection.state).not.toBe("stopped");
  die();
  await eventually(() => client.status.getSnapshot().connection.state === "stopped");
  expect(client.status.getSnapshot().connection).toMatchObject({ state: "stopped", error: { code: "engine-failed" } });
});

test("a host tells each of its pages which lock it holds", async () => {
  const world = new World();
  const pages = [rawPage(world), rawPage(world, { page: "another" })];
  await eventually(() => pages.every(({ heard }) => heard.some((message) => message.type === "alive")));
  const hosts = pages.flatMap(({ heard }) => heard.flatMap((message) => (message.type === "alive" ? [message.host] : [])));
  expect(new Set(hosts).size).toBe(1);
  let isFree = false;
  void world.locks.request(hostLockName(hosts[0]!), () => void (isFree = true));
  await turns();
  expect(isFree).toBe(false);
  pages.forEach(({ port }) => port.close());
});

test("a page that comes to an engine whose storage is gone gets a new host, and the other pages are at their end", async () => {
  const world = new World();
  const host = world.host;
  const first = world.client();
  first.status.subscribe(() => undefined);
  await eventually(() => first.status.getSnapshot().connection.state === "connected");
  const lost = world.engine;
  lost.connection = { state: "stopped", error: { code: "storage-lost", message: "gone", retryable: false }, closed: null };
  lost.tellStatus();
  await eventually(() => first.status.getSnapshot().connection.state === "stopped");

  const second = world.client();
  second.status.subscribe(() => undefined);
  await eventually(() => second.status.getSnapshot().connection.state === "connected");
  expect(world.engine).not.toBe(lost);
  expect(world.host).not.toBe(host);
  expect(lost.calls).toContain("stop");
  expect(first.status.getSnapshot().connection).toMatchObject({ state: "stopped", error: { code: "storage-lost" } });
  expect(() => first.stream(Orders, "orders").append({ type: "closed" })).toThrow("gone");
});

test("a page that shares no lock with a host gets a new one, as after the browser cleared the site's data", async () => {
  const world = new World();
  const before = world.client();
  before.status.subscribe(() => undefined);
  await eventually(() => before.status.getSnapshot().connection.state === "connected");
  const [host, engine] = [world.host, world.engine];
  world.locks = new FakeLocks() as unknown as LockManager;

  const dead = rawPage(world, { page: "dead", locked: true }); // it went before it was welcome: nobody else is the worse for it
  await eventually(() => dead.heard.length > 0);
  expect(dead.heard).toEqual([{ type: "gone" }]);
  expect(before.status.getSnapshot().connection.state).toBe("connected");

  const after = world.client();
  after.status.subscribe(() => undefined);
  await eventually(() => after.status.getSnapshot().connection.state === "connected");
  expect(world.host).not.toBe(host);
  expect(engine.calls).toContain("stop");
  expect(before.status.getSnapshot().connection).toMatchObject({ state: "stopped", error: { code: "storage-lost" } });
  dead.port.close();
});

test("a page dials again where a host is at its end, until something answers", async () => {
  const world = new World();
  const { ClientImpl } = await import("../src/client.js");
  const link = world.link();
  let dials = 0;
  const gone = (): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    port2.onmessage = () => port2.postMessage({ type: "gone" } satisfies HostMessage);
    return port1;
  };
  const silent = (): MessagePort => new MessageChannel().port1;
  const client = new ClientImpl({ url: "wss://relay.test", database: "test" }, {
    ...link,
    ports: [(onFailed) => [silent, gone, silent, () => link.ports[0]!(onFailed)][dials++]!()],
  });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  client.status.subscribe(() => undefined);
  await eventually(() => dials === 1);
  await vi.advanceTimersByTimeAsync(2000); // a worker that is ending when the page is loaded does not answer either
  expect(dials).toBe(2);
  await turns();
  await vi.advanceTimersByTimeAsync(100);
  expect(dials).toBe(3);
  await vi.advanceTimersByTimeAsync(2000);
  expect(dials).toBe(4);
  await eventually(() => client.status.getSnapshot().connection.state === "connected");
  await vi.advanceTimersByTimeAsync(10_000);
  expect(dials).toBe(4);
  await client.close();
});

test("a way to a host that failed is not tried again", async () => {
  const world = new World();
  const { ClientImpl } = await import("../src/client.js");
  let dials = 0;
  const failing = (onFailed: () => void): MessagePort => {
    dials += 1;
    queueMicrotask(onFailed);
    return new MessageChannel().port1;
  };
  const client = new ClientImpl({ url: "wss://relay.test", database: "test" }, { ...world.link(), ports: [failing] });
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  client.status.subscribe(() => undefined);
  await eventually(() => dials === 1);
  await vi.advanceTimersByTimeAsync(10_000);
  expect(dials).toBe(1);
  expect(client.status.getSnapshot().connection).toMatchObject({ error: { code: "engine-failed" } });
  client.close().catch(() => undefined);
});

test("a page that dials again takes the place of itself", async () => {
  const world = new World();
  const pages = [rawPage(world), rawPage(world)];
  await eventually(() => pages[1]!.heard.some((message) => message.type === "running"));
  pages.forEach(({ heard }) => heard.splice(0));
  world.engine.tellStatus();
  await eventually(() => pages[1]!.heard.length > 0);
  expect(pages[0]!.heard).toEqual([]);
  pages.forEach(({ port }) => port.close());
});

test("a second host waits for the first one's lock, says so, and starts when the first ends", async () => {
  const world = new World();
  const first = world.client();
  first.status.subscribe(() => undefined);
  await eventually(() => first.status.getSnapshot().connection.state === "connected");
  const engine = world.engine;
  const second = world.client({}, world.newHost());
  second.status.subscribe(() => undefined);
  await eventually(() => second.status.getSnapshot().connection.state === "waiting");
  expect(second.status.getSnapshot().connection).toMatchObject({ waitsFor: "other-tab", error: { code: "engine-failed", retryable: true } });
  expect(world.engine).toBe(engine);
  await world.host.stop();
  await eventually(() => second.status.getSnapshot().connection.state === "connected");
  expect(world.engine).not.toBe(engine);
});

test("a page that vanishes is noticed by its lock; its streams close 30 s later, unless it comes back", async () => {
  const world = new World();
  let die!: () => void;
  void world.locks.request(pageLockName("mortal"), () => new Promise<void>((resolve) => { die = resolve; }));
  const page = rawPage(world, { page: "mortal", locked: true });
  page.say({ type: "open", stream: "orders" });
  await eventually(() => world.engine?.calls.includes("open orders") === true);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  die();
  await turns();
  await vi.advanceTimersByTimeAsync(29_000);
  expect(world.engine.calls).not.toContain("close orders");
  await vi.advanceTimersByTimeAsync(2000);
  expect(world.engine.calls).toContain("close orders");
  expect(world.engine.calls).toContain("stop"); // nobody is left
  page.port.close();
});

test("a stream stays open 30 s after its last user in the page", async () => {
  const world = new World();
  const orders = world.client().stream(Orders, "orders");
  const release = orders.keepOpen();
  await eventually(() => world.engine?.calls.includes("open orders") === true);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  release();
  await vi.advanceTimersByTimeAsync(29_000);
  expect(orders.status.getSnapshot().phase).not.toBe("idle");
  await vi.advanceTimersByTimeAsync(1500);
  expect(orders.status.getSnapshot().phase).toBe("idle");
  vi.useRealTimers();
  await eventually(() => world.engine.calls.includes("close orders"));
});

test("a page that does not confirm gets no more than its window, and then reads", async () => {
  const world = new World();
  const page = rawPage(world);
  page.say({ type: "open", stream: "orders" });
  await eventually(() => world.engine?.calls.includes("open orders") === true);
  const large = json("paid", { amount: 1, note: "x".repeat(300_000) });
  for (let n = 0; n < 8; n += 1) world.engine.deliver("orders", [large]);
  await settle();
  const batches = page.heard.filter((message) => message.type === "event" && message.event.type === "applied");
  const bytes = batches.reduce((sum, message) => sum + (message as { event: { bytes: number } }).event.bytes, 0);
  expect(batches).toHaveLength(4);
  expect(bytes).toBeLessThan(PAGE_WINDOW_BYTES + large.byteLength + 1024);
  expect(page.heard.filter((message) => message.type === "grown")).toHaveLength(4);
  page.say({ type: "confirm", bytes });
  await settle();
  world.engine.deliver("orders", [json("closed")]);
  await settle();
  expect(page.heard.filter((message) => message.type === "event" && message.event.type === "applied")).toHaveLength(5);
  page.say({ type: "bye" });
});

test("a token is asked of the newest page that can give one; when it vanishes, of another", async () => {
  const world = new World();
  const asked: string[] = [];
  const old = world.client({ token: ({ refused }) => { asked.push(`old ${refused}`); return "token of old"; } });
  old.status.subscribe(() => undefined);
  await eventually(() => old.status.getSnapshot().connection.state === "connected");
  const young = rawPage(world, { hasToken: true });
  await eventually(() => young.heard.length > 0);
  world.engine.tell({ type: "needs-token", refused: true });
  await eventually(() => young.heard.some((message) => message.type === "token"));
  expect(asked).toEqual([]);
  young.say({ type: "bye" });
  await eventually(() => world.engine.tokens.length === 1);
  expect(asked).toEqual(["old true"]);
  expect(world.engine.tokens).toEqual(["token of old"]);
});

test("a token function that throws is asked again; null means signed out; a plain token is used once", async () => {
  const world = new World();
  let attempts = 0;
  const log: string[] = [];
  const client = world.client({
    token: async () => {
      attempts += 1;
      if (attempts === 1) throw new TypeError("secret-token");
      return null;
    },
    onLog: ({ message }) => log.push(message),
  });
  client.status.subscribe(() => undefined);
  await eventually(() => world.engine !== undefined);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  world.engine.tell({ type: "needs-token", refused: false });
  await eventually(() => attempts === 1);
  await vi.advanceTimersByTimeAsync(1000);
  await eventually(() => world.engine.tokens.length === 1);
  expect(world.engine.tokens).toEqual([null]);
  expect(log.join()).toContain("the token function failed");
  expect(log.join()).not.toContain("secret-token");
});

test("an engine that cannot start is tried three times more, then the pages are told", async () => {
  const world = new World();
  let attempts = 0;
  world.start = async () => {
    attempts += 1;
    throw { code: "engine-failed", message: "no memory" };
  };
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const client = world.client();
  const ready = client.stream(Orders, "orders").ready;
  const outcome = ready.catch((error: unknown) => error);
  for (let n = 0; n < 60; n += 1) {
    await turns(1);
    await vi.advanceTimersByTimeAsync(200);
  }
  expect(attempts).toBe(4);
  expect(await outcome).toMatchObject({ code: "engine-failed", message: "no memory" });
  expect(client.status.getSnapshot().connection).toMatchObject({ state: "stopped" });
});

test("local data that is newer than this build is told at once, not retried", async () => {
  const world = new World();
  let attempts = 0;
  world.start = async () => {
    attempts += 1;
    throw { code: "outdated-app", message: "the local data is of a newer build" };
  };
  const client = world.client();
  await expect(client.stream(Orders, "orders").ready).rejects.toMatchObject({ code: "outdated-app" });
  expect(attempts).toBe(1);
  expect(client.status.getSnapshot().outdated).toBe(true);
});

test("deleting the local data closes the client in every tab, and the next client starts anew", async () => {
  const world = new World();
  const [one, two] = [world.client(), world.client()];
  await one.stream(Orders, "orders").append({ type: "closed" }).saved;
  two.status.subscribe(() => undefined);
  await eventually(() => two.status.getSnapshot().connection.state === "connected");
  await one.deleteLocalData();
  await eventually(() => two.status.getSnapshot().connection.state === "closed");
  expect(one.status.getSnapshot().connection).toEqual({ state: "closed" });
  expect(() => one.stream(Orders, "orders").append({ type: "closed" })).toThrow(expect.objectContaining({ code: "closed" }));
  expect(() => two.stream(Orders, "orders").append({ type: "closed" })).toThrow(expect.objectContaining({ code: "closed" }));
  const engine = world.engine;
  const three = world.client();
  await three.stream(Orders, "orders").append({ type: "closed" }).saved;
  expect(world.engine).not.toBe(engine);
});

test("a page's end does not lose what it had said: close waits for the writes", async () => {
  const world = new World();
  const client = world.client();
  const write = client.stream(Orders, "orders").append({ type: "closed" });
  await client.close();
  expect(await write.saved).not.toBeNull();
  await expect(write.accepted).rejects.toMatchObject({ code: "closed" });
  expect(write.getSnapshot().stage).toBe("saved");
});

test("a port that fails hands over to the next one, with all that was said", async () => {
  const world = new World();
  const link = world.link();
  const { ClientImpl } = await import("../src/client.js");
  const client = new ClientImpl({ url: "wss://relay.test", database: "test" }, {
    ...link,
    ports: [
      () => { throw new Error("forbidden by the content security policy"); },
      (onFailed) => {
        setTimeout(onFailed, 5);
        return new MessageChannel().port1;
      },
      ...link.ports,
    ],
  });
  expect(await client.stream(Orders, "orders").append({ type: "closed" }).saved).toContain(":1");
  await client.close();
});

test("visibility is that of all pages together; the network is passed on", async () => {
  const world = new World();
  const [one, two] = [rawPage(world), rawPage(world, { page: "another" })];
  await eventually(() => world.engine !== undefined);
  one.say({ type: "hint", what: "hidden" });
  await settle(10);
  expect(world.engine.calls).not.toContain("hint hidden");
  two.say({ type: "hint", what: "hidden" });
  await eventually(() => world.engine.calls.includes("hint hidden"));
  one.say({ type: "hint", what: "offline" });
  await eventually(() => world.engine.calls.includes("hint offline"));
  one.say({ type: "bye" });
  two.say({ type: "bye" });
});

test("each living page has an Automerge actor of its own; that of one which vanished rests before another page goes on with it", async () => {
  const world = new World();
  const die = new Map<string, () => void>();
  const open = async (name: string): Promise<string> => {
    await new Promise<void>((held) => void world.locks.request(pageLockName(name), () => new Promise<void>((resolve) => { die.set(name, resolve); held(); })));
    const page = rawPage(world, { page: name, locked: true });
    page.say({ type: "call", request: 1, method: "actor", args: [] });
    page.say({ type: "call", request: 2, method: "actor", args: [] });
    const answers = (): string[] => page.heard.flatMap((message) => (message.type === "answer" ? [String(message.value)] : []));
    await eventually(() => answers().length === 2);
    expect(answers()[0]).toBe(answers()[1]);
    return answers()[0]!;
  };
  const [first, second] = [await open("first"), await open("second")];
  expect(first).not.toBe(second);
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  die.get("first")!();
  await eventually(() => vi.getTimerCount() === 1); // its number rests
  expect([first, second]).not.toContain(await open("third"));
  await vi.advanceTimersByTimeAsync(2000);
  expect(await open("fourth")).toBe(first);
});

test("a page is given no Automerge actor where there are no locks", async () => {
  const world = new World();
  const host = world.newHost(null);
  const { port1, port2 } = new MessageChannel();
  greet(port2, () => host);
  const heard: HostMessage[] = [];
  port1.onmessage = ({ data }: MessageEvent<HostMessage>) => void heard.push(data);
  const say = (message: PageMessage): void => port1.postMessage(message);
  say({ type: "hello", protocol: PROTOCOL_VERSION, page: "p", locked: false, again: false, engine: world.engineOptions, wasm: null, hasToken: false, offline: false });
  say({ type: "call", request: 1, method: "actor", args: [] });
  await eventually(() => heard.some((message) => message.type === "answer" && message.value === null));
  port1.close();
});

test("two relays' addresses and one database: the second host waits, as there is one writer of the local data", () => {
  const [one, two] = [{ url: "wss://one.test", database: "d", user: "u" }, { url: "wss://two.test", database: "d", user: "u" }];
  expect(engineLockName(one)).toBe(engineLockName(two));
  expect(hostName(one)).not.toBe(hostName(two));
  expect(engineLockName(one)).not.toBe(engineLockName({ ...one, user: null }));
});

test("who went offline on purpose is offline when the engine starts again, until connect", async () => {
  const world = new World();
  const first = world.client();
  first.disconnect();
  await eventually(() => world.engine?.calls.includes("disconnect") === true);
  await world.host.stop();
  const host = world.newHost();
  const second = world.client({}, host);
  second.status.subscribe(() => undefined);
  const before = world.engine;
  await eventually(() => world.engine !== before && world.engine.calls.includes("disconnect"));
  second.connect();
  await eventually(() => world.engine.calls.includes("connect"));
  await host.stop();
  const third = world.client({}, world.newHost());
  third.status.subscribe(() => undefined);
  await eventually(() => third.status.getSnapshot().connection.state === "connected");
  expect(world.engine.calls).not.toContain("disconnect");
});

test("an engine that is tried again is told from a host that waits for another tab", async () => {
  const world = new World();
  const start = world.start;
  let broken = true;
  world.start = async (options, listener) => {
    if (broken) throw { code: "engine-failed", message: "no memory" };
    return start(options, listener);
  };
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const client = world.client();
  client.status.subscribe(() => undefined);
  await eventually(() => client.status.getSnapshot().connection.state === "waiting");
  expect(client.status.getSnapshot().connection).toMatchObject({ waitsFor: "engine" });
  broken = false;
  await vi.advanceTimersByTimeAsync(1000);
  await eventually(() => client.status.getSnapshot().connection.state === "connected");
});
