/** A page's end of the conversation with its host. */
import { SyncError, toSyncErrorCode } from "../errors.js";
import { PROTOCOL_VERSION, hostLockName, pageLockName, type HostCalls, type HostMessage, type PageEvent, type PageMessage } from "./protocol.js";
import type { EngineOptions } from "./engine.js";

/** What the host's engine is doing, as this page knows. `ended`: this link is over and everything asked of it fails. */
export type HostPhase =
  | { readonly phase: "starting" }
  /** Another host (another build of the app, or a tab without SharedWorker) holds the engine's lock. */
  | { readonly phase: "waiting" }
  | { readonly phase: "running" }
  | { readonly phase: "broken"; readonly error: SyncError }
  | { readonly phase: "ended"; readonly error: SyncError };

/** What a link tells its session. */
export interface LinkTarget {
  onPhase(phase: HostPhase): void;
  onEvent(event: PageEvent): void;
  onGrown(stream: string, epoch: string, upto: number): void;
  /** Never rejects; null: signed out. */
  token(refused: boolean): Promise<string | null>;
}

/** How a page reaches a host. `onFailed` is called at most once, if nothing answers at the other end. */
export type OpenPort = (onFailed: () => void) => MessagePort;

/** What a link says about its page. */
export interface LinkOptions {
  readonly engine: EngineOptions;
  readonly wasm: string | null;
  readonly hasToken: boolean;
  /** Somebody went offline on purpose in an earlier life of the engine. */
  readonly isOffline: () => boolean;
  /** Tried in turn: the shared worker, then a host in this page. */
  readonly ports: readonly OpenPort[];
  /** Null where the page has none (an insecure address). */
  readonly locks: LockManager | null;
}

/** How long a page waits until it dials again where a host has sent it away, and where nothing answers, in ms. */
const GONE_MS = 100;
const UNANSWERED_MS = 2000;

type Waiting = { readonly resolve: (value: never) => void; readonly reject: (error: SyncError) => void };

/** One page's link. Messages said before the host's welcome wait for it, so that nothing is lost when a port fails. */
export class Link {
  readonly #options: LinkOptions;
  readonly #target: LinkTarget;
  readonly #page = crypto.randomUUID();
  readonly #waiting = new Map<number, Waiting>();
  #unsaid: PageMessage[] | null = [];
  #port: MessagePort | null = null;
  #requests = 0;
  #isLocked = false;
  /** It was told `gone`. */
  #again = false;
  #ended: SyncError | null = null;
  #releaseLock: () => void = () => undefined;
  readonly #unwatch = new AbortController();
  #redial: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkOptions, target: LinkTarget) {
    this.#options = options;
    this.#target = target;
    void this.#holdPageLock().then((isLocked) => {
      this.#isLocked = isLocked;
      this.#dial(0);
    });
  }

  /** Says something to the host. Silently dropped after the end. */
  say(message: PageMessage): void {
    if (this.#ended !== null) return;
    if (this.#unsaid !== null) this.#unsaid.push(message);
    else this.#port?.postMessage(message);
  }

  /** Asks the host. Rejects with a `SyncError`: what the engine answered, or `closed`. */
  call<M extends keyof HostCalls>(method: M, ...args: HostCalls[M]["args"]): Promise<HostCalls[M]["result"]> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const request = (this.#requests += 1);
    return new Promise((resolve, reject) => {
      this.#waiting.set(request, { resolve, reject });
      this.say({ type: "call", request, method, args });
    });
  }

  /** Leaves the host: everything unanswered fails with `error`. */
  end(error: SyncError): void {
    if (this.#ended !== null) return;
    this.say({ type: "bye" });
    this.#ended = error;
    clearTimeout(this.#redial);
    this.#port?.close();
    this.#releaseLock();
    this.#unwatch.abort();
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#target.onPhase({ phase: "ended", error });
  }

  /** A worker's process that ends says nothing, and neither does its port; its lock becomes free. */
  #watch(host: string): void {
    const ended = (): void => this.end(new SyncError("engine-failed", "the process that kept this app's data has ended: load this tab again"));
    this.#options.locks?.request(hostLockName(host), { signal: this.#unwatch.signal }, ended).catch(() => undefined);
  }

  /** Held until the page ends: however a page dies, its locks are released, and the host sees it. Gives whether it is. */
  #holdPageLock(): Promise<boolean> {
    const { locks } = this.#options;
    if (locks === null) return Promise.resolve(false);
    return new Promise((settled) => {
      const hold = (): Promise<void> => new Promise<void>((release) => {
        this.#releaseLock = release;
        settled(true);
      });
      locks.request(pageLockName(this.#page), hold).catch(() => settled(false));
    });
  }

  #dial(attempt: number): void {
    if (this.#ended !== null) return this.#releaseLock();
    const open = this.#options.ports[attempt];
    if (open === undefined) {
      this.#target.onPhase({ phase: "broken", error: new SyncError("engine-failed", "no worker could be started, and no engine in the page") });
      return;
    }
    let answered = false;
    const next = (): void => {
      if (answered || this.#ended !== null) return;
      answered = true;
      clearTimeout(this.#redial); // it failed, which is an answer
      this.#port?.close();
      this.#dial(attempt + 1);
    };
    try {
      const port = open(() => {
        if (port === this.#port) next();
      });
      this.#port?.close();
      this.#port = port;
      this.#dialIn(UNANSWERED_MS, attempt);
      port.onmessage = ({ data }: MessageEvent<HostMessage>) => {
        if (port !== this.#port || this.#ended !== null) return;
        answered = true;
        clearTimeout(this.#redial);
        if (data.type !== "gone") return this.#hear(data);
        this.#again = true;
        this.#dialIn(GONE_MS, attempt);
      };
      const { engine, wasm, hasToken, isOffline } = this.#options;
      port.postMessage({ type: "hello", protocol: PROTOCOL_VERSION, page: this.#page, locked: this.#isLocked, again: this.#again, engine, wasm, hasToken, offline: isOffline() } satisfies PageMessage);
    } catch {
      next(); // a worker of another origin, or one that the content security policy forbids
    }
  }

  /** A host may send the page away, and a worker that is just ending never answers: the next one is there in a moment. */
  #dialIn(delayMs: number, attempt: number): void {
    clearTimeout(this.#redial);
    this.#redial = setTimeout(() => this.#dial(attempt), delayMs);
  }

  #hear(message: Exclude<HostMessage, { type: "gone" }>): void {
    switch (message.type) {
      case "welcome": {
        const unsaid = this.#unsaid ?? [];
        this.#unsaid = null;
        for (const said of unsaid) this.say(said);
        return;
      }
      case "alive":
        return this.#watch(message.host);
      case "refused":
        return this.end(new SyncError("outdated-app", `another tab runs another build of this app (protocol ${message.protocol}, here ${PROTOCOL_VERSION}): reload all its tabs`));
      case "closed":
        return this.end(new SyncError("closed", "the local data was deleted"));
      case "waiting":
      case "running":
        return this.#target.onPhase({ phase: message.type });
      case "broken": {
        const error = new SyncError(toSyncErrorCode(message.code), message.message);
        return message.final ? this.end(error) : this.#target.onPhase({ phase: "broken", error });
      }
      case "event":
        return this.#target.onEvent(message.event);
      case "grown":
        return this.#target.onGrown(message.stream, message.epoch, message.upto);
      case "token":
        void this.#target.token(message.refused).then((token) => this.say({ type: "token", request: message.request, token }));
        return;
      case "answer":
      case "failure": {
        const waiting = this.#waiting.get(message.request);
        this.#waiting.delete(message.request);
        if (message.type === "answer") waiting?.resolve(message.value as never);
        else waiting?.reject(new SyncError(toSyncErrorCode(message.code), message.message));
      }
    }
  }
}
