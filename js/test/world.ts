/** Pages and a host around a fake engine, speaking over real message channels. */
import { afterEach } from "vitest";
import { ClientImpl, type ClientOptions } from "../src/client.js";
import type { EngineOptions, StartEngine } from "../src/engine/engine.js";
import { greet } from "../src/engine/greeting.js";
import { Host } from "../src/engine/host.js";
import type { LinkOptions } from "../src/engine/link.js";
import { OfflineChoice } from "../src/offline-choice.js";
import { FakeEngine } from "./fake-engine.js";

/** Exclusive locks with a queue each: what `navigator.locks` is to a browser. */
export class FakeLocks {
  readonly #queues = new Map<string, (() => void)[]>();

  request(name: string, options: unknown, callback?: unknown): Promise<unknown> {
    const { signal, ifAvailable } = options as LockOptions;
    const run = (callback ?? options) as (lock: object | null) => unknown;
    return new Promise((resolve, reject) => {
      const queue = this.#queues.get(name) ?? [];
      if (ifAvailable === true && queue.length > 0) return resolve(run(null));
      this.#queues.set(name, queue);
      const turn = (): void => {
        void Promise.resolve(run({})).then(resolve, reject).finally(() => {
          queue.shift();
          queue[0]?.();
        });
      };
      queue.push(turn);
      if (queue.length === 1) turn();
      signal?.addEventListener("abort", () => {
        const at = queue.indexOf(turn);
        if (at > 0) queue.splice(at, 1); // one that runs is not stopped by its signal
        reject(signal.reason);
      });
    });
  }
}

export class World {
  readonly engineOptions: EngineOptions = { url: "wss://relay.test", database: "test", user: null };
  /** Those that pages have from now on, and new hosts. */
  locks = new FakeLocks() as unknown as LockManager;
  readonly words = new Map<string, string>();
  readonly offline = new OfflineChoice(this.engineOptions, {
    getItem: (key) => this.words.get(key) ?? null,
    setItem: (key, value) => void this.words.set(key, value),
    removeItem: (key) => void this.words.delete(key),
  });
  readonly hosts: Host[] = [];
  readonly clients: ClientImpl[] = [];
  engine!: FakeEngine;
  /** The one that pages come to. */
  host: Host;
  /** Runs when an engine was made, before anything is asked of it. */
  prepare: (engine: FakeEngine) => void = () => undefined;
  start: StartEngine = async (_options, listener) => {
    this.engine = new FakeEngine(listener);
    this.prepare(this.engine);
    return this.engine;
  };

  constructor() {
    this.host = this.newHost();
    worlds.add(this);
  }

  /** `locks`: those of another world, where not everybody has the same ones. */
  newHost(locks: LockManager | null = this.locks): Host {
    const retire = (): void => {
      if (host === this.host) this.host = this.newHost();
    };
    const host = new Host(this.engineOptions, { load: async () => this.start, locks, retire });
    this.hosts.push(host);
    return host;
  }

  link(options: Partial<ClientOptions> = {}, host?: Host): LinkOptions {
    return {
      engine: this.engineOptions,
      wasm: null,
      hasToken: options.token !== undefined,
      isOffline: () => this.offline.isOffline,
      locks: this.locks,
      ports: [() => {
        const { port1, port2 } = new MessageChannel();
        greet(port2, () => host ?? this.host);
        return port1;
      }],
    };
  }

  client(options: Partial<ClientOptions> = {}, host?: Host): ClientImpl {
    const client = new ClientImpl({ url: this.engineOptions.url!, database: "test", ...options }, this.link(options, host), this.offline);
    this.clients.push(client);
    return client;
  }

  async end(): Promise<void> {
    for (const client of this.clients) await client.close();
    for (const host of this.hosts) await host.stop();
  }
}

const worlds = new Set<World>();

afterEach(async () => {
  for (const world of worlds) await world.end();
  worlds.clear();
});

/** Lets messages, microtasks and one frame pass. */
export async function settle(ms = 60): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

/** Lets what is under way between ports go on, with timers standing still. */
export async function turns(count = 20): Promise<void> {
  for (let n = 0; n < count; n += 1) {
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(0);
    });
  }
}

/** The real one, also where a test has taken the clock. */
const later = setTimeout;

/** Tries until it is true; fails the test after a second. */
export async function eventually(test: () => boolean, what = "it never became true"): Promise<void> {
  for (const end = Date.now() + 1000; !test(); ) {
    if (Date.now() > end) throw new Error(what);
    await new Promise((resolve) => later(resolve, 2));
  }
}
