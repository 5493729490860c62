/** What one client does with its host: the link, the fate of writes, and the feeds of streams. Started by first use. */
import { SyncError, toSyncErrorCode, type SyncErrorInfo } from "./errors.js";
import { Link, type HostPhase, type LinkOptions, type LinkTarget } from "./engine/link.js";
import { askForPersistence, listenToPage } from "./engine/page-events.js";
import type { EngineConnection, EngineStatus, EventKind } from "./engine/engine.js";
import type { HostCalls, PageEvent, PageMessage } from "./engine/protocol.js";
import { formatOffset } from "./offset.js";
import { IDLE_STATUS, lostConnection, toSyncStatus, type Connection, type SyncStatus } from "./status.js";
import { callAll, ValueStore, type Unsubscribe } from "./store.js";
import { Feed } from "./stream/feed.js";
import type { FeedHost, Reach } from "./stream/feed-host.js";
import { withChecks } from "./stream/events.js";
import { provideToken } from "./tokens.js";
import { WeakCache } from "./weak-cache.js";
import { rejectionError, Write } from "./write.js";
import type { ClientOptions } from "./client.js";

/** A write on its way: to the engine (by number) or to the relay (by id). */
interface OpenWrite {
  readonly write: Write;
  readonly feed: Feed;
}

/** A write that the engine has not answered. */
interface UnsavedWrite extends OpenWrite {
  readonly kind: EventKind;
  readonly time: number;
  readonly payload: Uint8Array;
}

/** The part of a session's life that others follow. */
export interface SessionTarget {
  /** The engine's list of rejections may have changed. */
  onRejections(): void;
  /** What this device holds may have changed. */
  onEngineEvent(): void;
}

/** One client's session. */
export class Session implements FeedHost, LinkTarget {
  readonly status: ValueStore<SyncStatus>;
  readonly hasRelay: boolean;
  readonly user: string | null;
  readonly #options: ClientOptions;
  readonly #linkOptions: LinkOptions;
  readonly #target: SessionTarget;
  /** All feeds that somebody still has. */
  readonly #feeds = new WeakCache<string, Feed>();
  /** Those that must stay. */
  readonly #open = new Set<Feed>();
  readonly #unsaved = new Map<number, UnsavedWrite>();
  /** By {@link writeKey}: saved, and the relay's place for it not seen yet. Those of other pages too, if somebody waits for them. */
  readonly #unanswered = new Map<string, OpenWrite>();
  /** Writes of this page that are saved and unanswered, by {@link writeKey}: the engine's own count may be a message behind. */
  readonly #awaited = new Set<string>();
  /** Which document of a stream is written under this page's leased actor: one, or their numbers would meet. */
  readonly #leases = new Map<string, object>();
  readonly #hideListeners = new Set<() => void>();
  readonly #ending = new AbortController();
  #link: Link | null = null;
  #phase: HostPhase = { phase: "starting" };
  /** When it began, by this device's clock. */
  #phaseAt = 0;
  #engine: EngineStatus | null = null;
  #lastWrite = 0;
  #unsavedChanges = 0;
  /** Writes of this page that were saved since the engine last told its status, which counts them among the unsaved ones. */
  #savedSince = 0;
  /** Tries to connect that failed, one after the other, as this page was told. */
  #failures = 0;
  #outdated = false;
  #askedForPersistence: boolean;

  constructor(options: ClientOptions, linkOptions: LinkOptions, target: SessionTarget) {
    this.#options = options;
    this.#linkOptions = linkOptions;
    this.#target = target;
    this.user = options.user ?? null;
    this.hasRelay = options.url !== undefined;
    this.#askedForPersistence = options.persist === false;
    this.status = new ValueStore<SyncStatus>(IDLE_STATUS, () => {
      this.use();
      return () => undefined;
    });
  }

  /** Starts the engine, unless it runs. On a server there is no way to one, and nothing happens. */
  use(): void {
    if (this.#link !== null || this.ended !== null || this.#linkOptions.ports.length === 0) return;
    this.#link = new Link(this.#linkOptions, this);
    const stopListening = listenToPage((what) => this.say({ type: "hint", what }), () => this.hide());
    this.#ending.signal.addEventListener("abort", stopListening);
  }

  /** The error that everything fails with once this session is over, else null. */
  get ended(): SyncError | null {
    return this.#phase.phase === "ended" ? this.#phase.error : null;
  }

  get reach(): Reach {
    switch (this.#engine?.connection.state) {
      case "connected":
        return "connected";
      case undefined:
      case "idle": // it dials as soon as a stream is open
      case "connecting":
        return "connecting";
      default:
        return "none";
    }
  }

  get inMemory(): boolean {
    return this.#engine?.storage.durability === "memory";
  }

  get trouble(): SyncErrorInfo | null {
    const connection = this.#hostConnection();
    return connection !== null && "error" in connection ? connection.error : null;
  }

  /** Null before the engine's first word. */
  get engineStatus(): EngineStatus | null {
    return this.#engine;
  }

  feed(name: string): Feed {
    return this.#feeds.get(name) ?? this.#feeds.set(name, new Feed(name, this));
  }

  opened(feed: Feed): void {
    this.#open.add(feed);
  }

  closed(feed: Feed): void {
    this.#open.delete(feed);
  }

  /** The Automerge actor that nobody but this page writes under, for one document of `stream`, 32 hex; null where there is none to have. */
  leaseActor(stream: string, document: object): Promise<string | null> {
    if ((this.#leases.get(stream) ?? document) !== document) return Promise.resolve(null);
    this.#leases.set(stream, document);
    return this.call("actor");
  }

  /** The document is closed: all that it wrote has been said. */
  endLease(stream: string, document: object): void {
    if (this.#leases.get(stream) === document) this.#leases.delete(stream);
  }

  /** Runs `listener` whenever this page is about to be hidden or left. */
  onHide(listener: () => void): Unsubscribe {
    this.#hideListeners.add(listener);
    return () => this.#hideListeners.delete(listener);
  }

  /** Closes the open changes of documents: what this page wrote so far is on its way to the engine. */
  hide(): void {
    callAll(this.#hideListeners);
  }

  say(message: PageMessage): void {
    this.use();
    this.#link?.say(message);
  }

  call<M extends keyof HostCalls>(method: M, ...args: HostCalls[M]["args"]): Promise<HostCalls[M]["result"]> {
    if (this.ended !== null) return Promise.reject(this.ended);
    this.use();
    // On a server nothing ever answers, as on a device whose engine never starts.
    return this.#link?.call(method, ...args) ?? new Promise(() => undefined);
  }

  append(feed: Feed, write: Write, kind: EventKind, time: number, payload: Uint8Array, dependent: boolean): void {
    this.#lastWrite += 1;
    this.#unsaved.set(this.#lastWrite, { write, feed, kind, time, payload });
    this.say({ type: "append", write: this.#lastWrite, stream: feed.name, kind, time, payload, dependent });
    this.#update();
  }

  writeOf(feed: Feed, id: string): Write {
    const key = writeKey(feed.name, id);
    const known = this.#unanswered.get(key);
    if (known !== undefined) return known.write;
    const write = new Write();
    write.markSaved(id);
    this.#unanswered.set(key, { write, feed });
    return write;
  }

  seen(stream: string, epoch: string, id: string, offset: number, check: string): void {
    const key = writeKey(stream, id);
    const open = this.#unanswered.get(key);
    if (open === undefined) return;
    this.#unanswered.delete(key);
    this.#awaited.delete(key);
    open.write.markAccepted(formatOffset({ epoch, offset, check }));
  }

  countUnsaved(by: number): void {
    this.#unsavedChanges += by;
    this.#update();
  }

  reportOutdated(): void {
    if (this.#outdated) return;
    this.#outdated = true;
    this.#update();
  }

  /** Resolves when the relay has answered every write of this device; without a relay, when they are saved here. */
  async flush(signal: AbortSignal | undefined): Promise<void> {
    this.use();
    this.hide();
    await until(this.status, () => {
      if (this.ended !== null) throw this.ended;
      const { savedOn, pending } = this.status.getSnapshot();
      return this.#engine !== null && savedOn !== "none" && (pending === 0 || !this.hasRelay);
    }, signal);
  }

  /** Asks the browser to keep the data and tells the engine. Resolves to whether it will. */
  async requestPersistence(once = false): Promise<boolean> {
    const granted = await askForPersistence(once).catch(() => false);
    await this.call("requestPersistence");
    return granted;
  }

  /** Resolves when the engine has answered all writes of this page: in milliseconds, and never later than a second. */
  settle(): Promise<void> {
    if (this.#unsaved.size === 0) return Promise.resolve();
    return until(this.status, () => this.#unsaved.size === 0, AbortSignal.timeout(1000)).catch(() => undefined);
  }

  /** Leaves the host. What is unsaved at this moment has been said to it and is still saved. */
  end(error: SyncError): void {
    if (this.#link !== null) this.#link.end(error);
    else this.onPhase({ phase: "ended", error });
  }

  // ------------------------------------------------------------------------------------------------- what the link tells

  token(refused: boolean): Promise<string | null> {
    return provideToken(this.#options.token, refused, (message) => this.#options.onLog?.({ level: "warn", message }), this.#ending.signal);
  }

  onPhase(phase: HostPhase): void {
    this.#phase = phase;
    this.#phaseAt = Date.now();
    if (phase.phase === "ended") {
      this.#ending.abort();
      for (const { write } of [...this.#unsaved.values(), ...this.#unanswered.values()]) write.markFailed(phase.error);
      this.#unsaved.clear();
      this.#unanswered.clear();
      for (const feed of this.#open) feed.fail(phase.error);
    }
    for (const feed of this.#open) feed.update();
    this.#update();
  }

  onGrown(stream: string, epoch: string, upto: number): void {
    this.#feeds.get(stream)?.onGrown(epoch, upto);
  }

  onEvent(event: PageEvent): void {
    switch (event.type) {
      case "status":
        return this.#onStatus(event);
      case "log":
        return this.#options.onLog?.({ level: event.level, message: event.message });
      case "appended": {
        const open = event.write === null ? undefined : this.#unsaved.get(event.write);
        if (open !== undefined) this.#onSaved(event.write!, open, event.event.id);
        this.#feeds.get(event.stream)?.onSaved(event.event, open?.write ?? null);
        break;
      }
      case "failed": {
        const open = this.#unsaved.get(event.write);
        this.#unsaved.delete(event.write);
        if (open === undefined) break;
        if (event.code === "too-large") this.#listTooLarge(open);
        const message = event.code === "too-large" ? tooLarge(open.payload.byteLength) : event.message;
        open.write.markFailed(new SyncError(toSyncErrorCode(event.code), message, { stream: event.stream }));
        open.feed.onFailed(open.write);
        break;
      }
      case "applied": {
        const batch = withChecks(event);
        for (const { id, offset, check } of batch.events) this.seen(event.stream, event.epoch, id, offset ?? event.upto, check ?? "");
        this.#feeds.get(event.stream)?.onApplied(batch);
        this.say({ type: "confirm", bytes: event.bytes });
        break;
      }
      case "accepted":
        for (const id of event.ids) {
          const key = writeKey(event.stream, id);
          this.#awaited.delete(key);
          this.#unanswered.get(key)?.write.markAccepted(null);
        }
        break;
      case "rejected":
        for (const { id, code, reason } of event.rejections) {
          const key = writeKey(event.stream, id);
          this.#unanswered.get(key)?.write.markRejected(rejectionError(event.stream, code, reason));
          this.#unanswered.delete(key);
          this.#awaited.delete(key);
        }
        this.#feeds.get(event.stream)?.onRejected(event.rejections);
        this.#target.onRejections();
        break;
      case "renamed":
        this.#onRenamed(event.stream, event.from, event.to);
        break;
      case "reset":
        this.#feeds.get(event.stream)?.onReset();
        break;
      case "stream":
        this.#feeds.get(event.stream)?.onState(event);
        break;
    }
    this.#target.onEngineEvent();
    this.#update();
  }

  #onStatus(status: EngineStatus): void {
    const before = this.#engine;
    this.#engine = status;
    this.#savedSince = 0;
    this.#update();
    this.#tellLost(before?.connection, status.connection);
    if (before?.connection.state !== status.connection.state || before.storage.durability !== status.storage.durability) for (const feed of this.#open) feed.update();
    if (before?.rejected !== status.rejected) this.#target.onRejections();
  }

  #tellLost(before: EngineConnection | undefined, now: EngineConnection): void {
    if (now.state === "connected") this.#failures = 0;
    const line = lostConnection(before, now, this.#failures + 1);
    if (line === null) return;
    this.#failures += 1;
    this.#options.onLog?.({ level: "warn", message: line });
  }

  #onSaved(number: number, open: OpenWrite, id: string): void {
    this.#unsaved.delete(number);
    this.#savedSince += 1;
    const key = writeKey(open.feed.name, id);
    this.#unanswered.set(key, open);
    this.#awaited.add(key);
    this.#update(); // before who waits for the write looks at it
    open.write.markSaved(id);
    if (this.#askedForPersistence) return;
    this.#askedForPersistence = true; // worth asking now: there is something to lose
    this.requestPersistence(true).catch(() => undefined);
  }

  /** What no log takes is not thrown away: it waits for a decision, as what the relay refused. It never had an id, so it gets one. */
  #listTooLarge({ feed, kind, time, payload }: UnsavedWrite): void {
    const producer = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    this.say({ type: "reject", id: `${producer}:1`, stream: feed.name, kind, time, payload, code: "too-large" });
  }

  #onRenamed(stream: string, from: string, to: string): void {
    const [before, after] = [writeKey(stream, from), writeKey(stream, to)];
    const open = this.#unanswered.get(before);
    if (open !== undefined) {
      this.#unanswered.delete(before);
      this.#unanswered.set(after, open);
      if (this.#awaited.delete(before)) this.#awaited.add(after);
      open.write.rename(to);
    }
    this.#feeds.get(stream)?.onRenamed(from, to);
    this.#target.onRejections();
  }

  /** What the host is doing, where that is what an app should show instead of the engine's connection. */
  #hostConnection(): Connection | null {
    const phase = this.#phase;
    switch (phase.phase) {
      case "starting":
        return this.#link === null ? null : { state: "connecting" };
      case "running":
        return null;
      case "waiting": {
        const message = "another tab holds the local data (it runs another build of this app or names another relay, or the browser has no SharedWorker): close or reload it";
        const error: SyncErrorInfo = { code: "engine-failed", message, retryable: true, stream: null };
        return { state: "waiting", waitsFor: "other-tab", retryAt: this.#phaseAt, error }; // it goes on the moment the other one ends
      }
      case "broken":
        return phase.error.retryable ? { state: "waiting", waitsFor: "engine", retryAt: this.#phaseAt, error: phase.error.toJSON() } : { state: "stopped", error: phase.error.toJSON() };
      case "ended":
        return phase.error.code === "closed" ? { state: "closed" } : { state: "stopped", error: phase.error.toJSON() };
    }
  }

  #update(): void {
    const told = this.#engine;
    const engine = told === null ? null : { ...told, pending: Math.max(told.pending, this.#awaited.size), unsaved: Math.max(0, told.unsaved - this.#savedSince) };
    const share = {
      unsaved: this.#unsaved.size + this.#unsavedChanges,
      outdated: this.#outdated || this.ended?.code === "outdated-app",
      connection: this.#hostConnection(),
      hasRelay: this.hasRelay,
    };
    this.status.set(toSyncStatus(engine, share, this.status.getSnapshot()));
  }
}

/** What tells a write from all others of this device: an id is unique within its stream only. */
function writeKey(stream: string, id: string): string {
  return `${stream} ${id}`; // no stream's name holds a space
}

/** Of one event, its head included: as in the protocol. */
const EVENT_BYTES_MAX = 448 * 1024;
/** The head is smaller. */
const EVENT_HEAD_BYTES_MAX = 64;

function tooLarge(bytes: number): string {
  const most = bytes > EVENT_BYTES_MAX - EVENT_HEAD_BYTES_MAX ? `an event has at most ${EVENT_BYTES_MAX}` : "this relay takes less";
  return `the event has ${bytes} bytes, and ${most}: it is among the rejections`;
}

/** Resolves once `test` is true; tried now and after each change of `store`. Rejects with what `test` throws, or on abort. */
export function until(store: { subscribe(listener: () => void): Unsubscribe }, test: () => boolean, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    let stop: Unsubscribe = () => undefined;
    const settle = (end: () => void): void => {
      stop();
      signal?.removeEventListener("abort", onAbort);
      end();
    };
    const onAbort = (): void => settle(() => reject(signal!.reason));
    const attempt = (): boolean => {
      try {
        if (!test()) return false;
        settle(resolve);
      } catch (error) {
        settle(() => reject(error));
      }
      return true;
    };
    if (signal?.aborted) return onAbort();
    if (attempt()) return;
    stop = store.subscribe(() => void attempt());
    signal?.addEventListener("abort", onAbort);
  });
}
