/**
 * The host: one engine for many pages. It keeps no log and no queue of its own; it passes on what pages ask and what
 * the engine tells, and knows which page wants what.
 *
 * Locks keep it honest: it holds the engine's lock while its engine lives, so that there is one engine per
 * (origin, database, user) even when two builds of an app, or two relays' addresses, run two workers; it waits for each page's lock, which
 * the browser releases however the page ends; and it holds one of its own, for which its pages wait in the same way.
 */
import type { Engine, EngineApplied, EngineEvent, EngineHint, EngineOptions, EngineStatus, StartEngine } from "./engine.js";
import { HostPage } from "./host-page.js";
import { PageNumbers } from "./page-numbers.js";
import { OpenStreams } from "./open-streams.js";
import { TokenRequests } from "./token-requests.js";
import { engineLockName, hostLockName, pageLockName, PROTOCOL_VERSION, type HostCalls, type HostMessage, type PageMessage } from "./protocol.js";

/** What a host needs from its surroundings. */
export interface HostEnvironment {
  /** Loads the engine's code. `wasm`: the address of its WASM file, or null for the usual one. */
  load(wasm: string | null): Promise<StartEngine>;
  /** Null where there are none (an insecure address): then nothing stops a second host. */
  readonly locks: LockManager | null;
  /** This host is at its end: the next page gets another one. */
  retire(): void;
}

/** Waits between attempts to start the engine, in ms; after the last one the host gives up. */
const START_DELAYS_MS = [1000, 2000, 4000];

/** How long a host without pages keeps its engine, in ms: a reload finds it running. */
const IDLE_MS = 30_000;

type Phase =
  | { readonly state: "idle" }
  /** `said`: what pages were told of it last. */
  | { readonly state: "starting"; readonly said: HostMessage | null; readonly give: AbortController }
  | { readonly state: "running"; readonly engine: Engine; readonly release: () => void }
  /** Given up; the next page that comes is the reason to try again. */
  | { readonly state: "broken" };

type Hello = Extract<PageMessage, { type: "hello" }>;

/** One engine, many pages. */
export class Host {
  readonly #environment: HostEnvironment;
  readonly #options: EngineOptions;
  readonly #pages = new Set<HostPage>();
  readonly #streams = new OpenStreams((stream) => this.#withEngine((engine) => engine.close(stream)));
  readonly #tokens = new TokenRequests((token) => this.#withEngine((engine) => engine.authenticate(token)));
  readonly #numbers = new PageNumbers();
  /** The engine's number of a write to the page's. */
  readonly #writes = new Map<number, { readonly page: HostPage; readonly write: number }>();
  #lastWrite = 0;
  #phase: Phase = { state: "idle" };
  #isRetired = false;
  #status: EngineStatus | null = null;
  #visible: boolean | null = null;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  /** What pages said while the engine was starting. */
  #early: ((engine: Engine) => void)[] = [];
  /** Said to pages once this host holds its own lock. */
  #alive: HostMessage | null = null;

  constructor(options: EngineOptions, environment: HostEnvironment) {
    this.#options = options;
    this.#environment = environment;
    this.#holdLock();
  }

  /** Never let go: the browser does, when this host's process ends. */
  #holdLock(): void {
    const host = crypto.randomUUID();
    const hold = (): Promise<void> => {
      this.#alive = { type: "alive", host };
      this.#broadcast(this.#alive);
      return new Promise(() => undefined);
    };
    this.#environment.locks?.request(hostLockName(host), hold).catch(() => undefined);
  }

  /** A page said hello; from here on its port is this host's, if it is not sent away. */
  async welcome(port: MessagePort, hello: Hello): Promise<void> {
    const { locks } = this.#environment;
    // A page holds its lock when it comes. One that comes again without is alive, and sees other locks than this host.
    const isUnseen = hello.locked && locks !== null && (await isFree(locks, pageLockName(hello.page)));
    if (isUnseen && hello.again) this.#retire("the browser cleared all data of this site");
    this.#retireIfLost();
    if (isUnseen || this.#isRetired) {
      port.postMessage({ type: "gone" } satisfies HostMessage);
      port.close();
      return;
    }
    // One that had no answer for a while has dialled again, and reads this port only.
    for (const page of this.#pages) if (page.id === hello.page) this.#leave(page, "left");
    const page = new HostPage(hello.page, port, hello.hasToken);
    clearTimeout(this.#idleTimer);
    this.#pages.add(page);
    port.onmessage = ({ data }: MessageEvent<PageMessage>) => this.#hear(page, data);
    page.post({ type: "welcome", protocol: PROTOCOL_VERSION });
    if (this.#alive !== null) page.post(this.#alive);
    if (hello.locked && locks !== null) page.watch(locks, () => this.#leave(page, "vanished"));
    if (page.hasToken) this.#tokens.addPage(page);
    if (this.#phase.state === "idle" || this.#phase.state === "broken") void this.#start(hello);
    else if (this.#phase.state === "running") page.post({ type: "running" });
    else if (this.#phase.said !== null) page.post(this.#phase.said);
    if (this.#status !== null) page.post({ type: "event", event: this.#status });
    this.#updateVisibility();
  }

  /**
   * An engine whose storage is gone does nothing any more. Its pages ask to be loaded again; with the first that is, all of
   * it ends, or two tabs would keep it for ever: what the others hold is of data that is no more.
   */
  #retireIfLost(): void {
    const connection = this.#status?.connection;
    if (this.#phase.state !== "running" || connection?.state !== "stopped" || connection.error.code !== "storage-lost") return;
    this.#retire(connection.error.message);
  }

  /**
   * The end of this host, as its data is no more. Where the browser cleared all data of a site, a worker from before has
   * neither a lock nor a database in common with a page from after.
   */
  #retire(message: string): void {
    if (this.#isRetired) return;
    this.#isRetired = true;
    this.#broadcast({ type: "broken", code: "storage-lost", message, final: true });
    this.#sendAway();
    void this.stop().finally(() => this.#environment.retire());
  }

  /** Ends the engine and releases its lock; the pages are on their own. */
  async stop(): Promise<void> {
    const phase = this.#phase;
    this.#phase = { state: "idle" };
    clearTimeout(this.#idleTimer);
    this.#streams.clear();
    this.#tokens.clear();
    this.#numbers.clear();
    this.#writes.clear();
    this.#early = [];
    this.#status = null;
    if (phase.state === "starting") phase.give.abort();
    if (phase.state !== "running") return;
    try {
      await phase.engine.stop();
    } finally {
      phase.release();
    }
  }

  async #start({ wasm, offline }: Hello): Promise<void> {
    const give = new AbortController();
    this.#phase = { state: "starting", said: null, give };
    const release = await this.#takeLock(give.signal);
    for (let attempt = 0; !give.signal.aborted; attempt += 1) {
      try {
        const start = await this.#environment.load(wasm);
        const engine = await start({ ...this.#options, token: this.#tokens.hasPages }, (event) => this.#tell(event));
        if (give.signal.aborted) {
          await engine.stop();
          break;
        }
        this.#phase = { state: "running", engine, release };
        if (offline) engine.disconnect();
        this.#broadcast({ type: "running" });
        for (const early of this.#early.splice(0)) early(engine);
        return;
      } catch (cause) {
        const { code, message } = problem(cause);
        const delay = code === "engine-failed" ? START_DELAYS_MS[attempt] : undefined;
        const said: HostMessage = { type: "broken", code, message, final: delay === undefined };
        this.#broadcast(said);
        if (delay === undefined) {
          this.#phase = { state: "broken" };
          this.#sendAway();
          break;
        }
        this.#phase = { state: "starting", said, give };
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
    release();
  }

  /** Resolves once this host holds the engine's lock; tells the pages if another host has it. */
  async #takeLock(signal: AbortSignal): Promise<() => void> {
    const { locks } = this.#environment;
    if (locks === null) return () => undefined;
    const waiting = setTimeout(() => {
      if (this.#phase.state !== "starting" || signal.aborted) return;
      const said: HostMessage = { type: "waiting" };
      this.#phase = { ...this.#phase, said };
      this.#broadcast(said);
    }, 200); // the lock of a host that is just ending (a reload) is free by then: no flicker
    return new Promise((resolve) => {
      const done = (release: () => void): void => {
        clearTimeout(waiting);
        resolve(release);
      };
      const held = (): Promise<void> => new Promise<void>((release) => done(release));
      locks.request(engineLockName(this.#options), { signal }, held).catch(() => done(() => undefined));
    });
  }

  /** Everything the engine tells. */
  #tell(event: EngineEvent): void {
    switch (event.type) {
      case "applied":
        return this.#applied(event);
      case "appended":
      case "failed": {
        const author = event.write === null ? undefined : this.#writes.get(event.write);
        if (event.write !== null) this.#writes.delete(event.write);
        if (author !== undefined) author.page.post({ type: "event", event: { ...event, write: author.write } });
        if (event.type === "failed") return;
        for (const page of this.#streams.pagesOf(event.stream)) {
          if (page !== author?.page) page.post({ type: "event", event: { ...event, write: null } });
        }
        return;
      }
      case "needs-token":
        return this.#tokens.ask(event.refused);
      case "stream":
        this.#streams.remember(event);
        for (const page of this.#streams.pagesOf(event.stream)) page.post({ type: "event", event });
        return;
      case "status":
        this.#status = event;
        return this.#broadcast({ type: "event", event });
      case "reset":
      case "accepted":
      case "rejected":
      case "renamed":
      case "log":
        return this.#broadcast({ type: "event", event });
    }
  }

  #applied(batch: EngineApplied): void {
    const bytes = batch.events.reduce((sum, event) => sum + event.payload.byteLength + 128, 128);
    for (const page of this.#streams.pagesOf(batch.stream)) page.postBatch({ ...batch, bytes });
  }

  /** Everything a page says. */
  #hear(page: HostPage, message: PageMessage): void {
    switch (message.type) {
      case "hello":
        return;
      case "bye":
        return this.#leave(page, "left");
      case "confirm":
        return page.confirm(message.bytes);
      case "token":
        return this.#tokens.answer(page, message.request, message.token);
      case "hint":
        return this.#hint(page, message.what);
      case "close":
        return this.#streams.close(page, message.stream, "left");
      case "open":
        return this.#withEngine((engine) => {
          const known = this.#streams.open(page, message.stream);
          try {
            engine.open(message.stream);
          } catch (cause) {
            // Names are checked in the page; what still fails is told to the page when it reads.
            return this.#tell({ type: "log", level: "error", message: `a stream could not be opened: ${problem(cause).code}` });
          }
          if (known !== null) page.post({ type: "event", event: known });
        });
      case "append":
        return this.#withEngine((engine) => this.#append(engine, page, message));
      case "refresh":
        return this.#withEngine((engine) => engine.refresh(message.stream));
      case "reject":
        return this.#withEngine((engine) => engine.reject(message.id, message.stream, message.kind, message.time, message.payload, message.code));
      case "connect":
        return this.#withEngine((engine) => engine.connect());
      case "disconnect":
        return this.#withEngine((engine) => engine.disconnect());
      case "call":
        return this.#withEngine((engine) => void this.#answer(engine, page, message));
    }
  }

  #append(engine: Engine, page: HostPage, { write, stream, kind, time, payload, dependent }: Extract<PageMessage, { type: "append" }>): void {
    this.#lastWrite += 1;
    const number = this.#lastWrite;
    this.#writes.set(number, { page, write });
    try {
      engine.append(number, stream, kind, time, payload, dependent);
    } catch (cause) {
      this.#writes.delete(number);
      page.post({ type: "event", event: { type: "failed", stream, write, ...problem(cause) } });
    }
  }

  async #answer(engine: Engine, page: HostPage, { request, method, args }: Extract<PageMessage, { type: "call" }>): Promise<void> {
    try {
      page.post({ type: "answer", request, value: method === "actor" ? this.#actorOf(engine, page) : await perform(engine, method, args) });
    } catch (cause) {
      page.post({ type: "failure", request, ...problem(cause) });
      return;
    }
    if (method !== "deleteLocalData") return;
    this.#broadcast({ type: "closed" });
    this.#sendAway();
    await this.stop();
  }

  /** Leased to the page for as long as it lives, which its lock shows. */
  #actorOf(engine: Engine, page: HostPage): string | null {
    return this.#environment.locks === null ? null : engine.actor(this.#numbers.of(page));
  }

  /** The pages have been told that it is over. */
  #sendAway(): void {
    this.#tokens.clear();
    for (const page of this.#pages) {
      this.#tokens.removePage(page);
      this.#numbers.free(page, "left");
      page.end();
    }
    this.#pages.clear();
    this.#early = [];
  }

  /** Visible while any page is; the network is the same for all. */
  #hint(page: HostPage, what: EngineHint): void {
    if (what !== "visible" && what !== "hidden") return this.#withEngine((engine) => engine.hint(what));
    page.visible = what === "visible";
    this.#updateVisibility();
  }

  #updateVisibility(): void {
    const visible = [...this.#pages].some((page) => page.visible);
    if (visible === this.#visible) return;
    this.#visible = visible;
    this.#withEngine((engine) => engine.hint(visible ? "visible" : "hidden"));
  }

  #leave(page: HostPage, how: "left" | "vanished"): void {
    if (!this.#pages.delete(page)) return;
    page.end();
    this.#tokens.removePage(page);
    this.#streams.closeAll(page, how);
    this.#numbers.free(page, how);
    for (const [number, author] of this.#writes) if (author.page === page) this.#writes.delete(number);
    this.#updateVisibility();
    if (this.#pages.size === 0) this.#idleTimer = setTimeout(() => void this.stop(), IDLE_MS);
  }

  /** Runs `use` with the engine, now or once it has started. */
  #withEngine(use: (engine: Engine) => void): void {
    if (this.#phase.state === "running") use(this.#phase.engine);
    else if (this.#phase.state === "starting") this.#early.push(use);
  }

  #broadcast(message: HostMessage): void {
    for (const page of this.#pages) page.post(message);
  }
}

/** Whether nobody holds this lock. */
async function isFree(locks: LockManager, name: string): Promise<boolean> {
  return locks.request(name, { ifAvailable: true }, (lock) => lock !== null).catch(() => false);
}

/** The calls that a page may make; a name that is none of them never reaches the engine. */
async function perform(engine: Engine, method: Exclude<keyof HostCalls, "actor">, args: readonly unknown[]): Promise<unknown> {
  switch (method) {
    case "read":
      return engine.read(...(args as HostCalls["read"]["args"]));
    case "pending":
      return engine.pending(...(args as HostCalls["pending"]["args"]));
    case "rejections":
      return engine.rejections();
    case "dropRejection":
      return engine.dropRejection(...(args as HostCalls["dropRejection"]["args"]));
    case "streams":
      return engine.streams(...(args as HostCalls["streams"]["args"]));
    case "requestPersistence":
      return engine.requestPersistence();
    case "deleteLocalData":
      return engine.deleteLocalData();
  }
}

/** Code and message of what the engine threw; anything without a code means that it broke. */
function problem(cause: unknown): { code: string; message: string } {
  const { code, message } = (typeof cause === "object" && cause !== null ? cause : {}) as { code?: unknown; message?: unknown };
  return {
    code: typeof code === "string" ? code : "engine-failed",
    message: typeof message === "string" ? message : String(cause),
  };
}
