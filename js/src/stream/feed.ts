/**
 * One stream in one page: opened by its first user, kept 30 s after its last, and told to all who read it.
 * The feed holds no log. It knows the stream's state and this device's open writes; each reader is a cursor of its own.
 */
import { SyncError, toErrorInfo, toSyncErrorCode } from "../errors.js";
import type { EngineApplied, EngineLogEvent, EngineRejection, EngineStreamState, EventKind } from "../engine/engine.js";
import { OncePerFrame } from "../frames.js";
import { keepSame, IDLE_STREAM, type StreamStatus } from "../status.js";
import { callAll, ValueStore, type Unsubscribe } from "../store.js";
import { Write } from "../write.js";
import { withChecks } from "./events.js";
import { FeedReader, type FeedTarget } from "./feed-reader.js";
import { PendingEvents, type PendingEvent } from "./pending.js";
import type { FeedHost } from "./feed-host.js";

/** How long a stream stays open after its last user, in ms: a route change and back costs nothing. */
const LINGER_MS = 30_000;

/** How long an unknown stream may be "loading" while the device tries to connect, in ms; then it is shown as new. */
const UNKNOWN_MS_MAX = 3000;

/** One stream in one page. */
export class Feed {
  readonly name: string;
  readonly pending = new PendingEvents();
  /** Opens the stream while subscribed to. */
  readonly status: ValueStore<StreamStatus>;
  readonly #host: FeedHost;
  readonly #readers = new Set<FeedReader>();
  readonly #handles = new Set<{ onFeedStatus(): void }>();
  readonly #stateListeners = new Set<() => void>();
  readonly #updating = new OncePerFrame(() => this.update());
  #users = 0;
  #lingering: ReturnType<typeof setTimeout> | undefined;
  #open = false;
  /** Counts openings: an answer to an earlier one is ignored. */
  #opening = 0;
  /** The local log was asked for. */
  #loading = false;
  #state: EngineStreamState | null = null;
  /** What the local log holds, as far as it was asked: null before the first answer. */
  #local: "empty" | "something" | null = null;
  /** Decided by the first event that is seen. */
  #kind: "document" | "stream" | null = null;
  #unknownTimer: ReturnType<typeof setTimeout> | undefined;
  #waitedForUnknown = false;
  #failure: SyncError | null = null;
  #outdated = false;
  /** Events up to this offset have been counted in `status.invalid`. */
  #invalidUpto = 0;
  #unsavedElsewhere = 0;

  constructor(name: string, host: FeedHost) {
    this.name = name;
    this.#host = host;
    this.status = new ValueStore<StreamStatus>(IDLE_STREAM, () => this.hold());
  }

  get kind(): "document" | "stream" | null {
    return this.#kind;
  }

  /** The engine's last word on how far the local log goes. */
  get cursor(): number {
    return this.#state?.cursor ?? 0;
  }

  get state(): EngineStreamState | null {
    return this.#state;
  }

  /** The local log has been asked. */
  get isLoaded(): boolean {
    return this.#local !== null;
  }

  /** True when a handle has something to show: see `Handle.ready`. */
  get isReady(): boolean {
    return this.status.getSnapshot().phase === "ready";
  }

  /** Opens the stream and keeps it so until called back. */
  hold(): Unsubscribe {
    this.#users += 1;
    clearTimeout(this.#lingering);
    this.#start();
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#users -= 1;
      if (this.#users === 0) this.#lingering = setTimeout(() => this.close(), LINGER_MS);
    };
  }

  /** Tells a handle of each change of the status, until the stream is closed. */
  watch(handle: { onFeedStatus(): void }): void {
    this.#handles.add(handle);
  }

  /** Calls `listener` each time the engine tells the stream's state. */
  onEngineState(listener: () => void): Unsubscribe {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  /** Opens the stream for as long as it lingers. */
  touch(): void {
    this.hold()();
  }

  /** Adds a reader, which starts at the beginning of the log. */
  attach(target: FeedTarget): FeedReader {
    const reader = new FeedReader(this, async (after, maxBytes) => withChecks(await this.#host.call("read", this.name, after, maxBytes)), target, () => this.#readers.delete(reader));
    this.#readers.add(reader);
    if (this.#local !== null) reader.start();
    return reader;
  }

  /** Writes an event; it is pending at once. */
  append(kind: EventKind, payload: Uint8Array, write: Write, dependent: boolean): void {
    this.touch();
    const time = Date.now();
    const event: PendingEvent = { id: null, kind, time, payload, write };
    this.#kind ??= kindOf(kind);
    this.pending.addUnsaved(event);
    this.#host.append(this, write, kind, time, payload, dependent);
    for (const reader of [...this.#readers]) reader.onWritten(event);
    this.update();
  }

  /** The last write that has not been seen in the log, this page's or not. */
  lastWrite(): Write | null {
    const last = this.pending.list.at(-1);
    if (last === undefined) return null;
    return last.write ?? this.#host.writeOf(this, last.id!); // only this page's own are without an id
  }

  /** Refused or failed at a place that the engine does not count: a document's changes that are in memory only. */
  countUnsaved(by: number): void {
    this.#unsavedElsewhere += by;
    this.#host.countUnsaved(by);
    this.update();
  }

  /** A reader met an event of a type that this build does not know. */
  reportUnknown(): void {
    this.#outdated = true;
    this.#host.reportOutdated();
  }

  /** A reader met an event that it must skip; each counts once, however many readers there are. */
  reportInvalid(offset: number): void {
    if (offset <= this.#invalidUpto) return;
    this.#invalidUpto = offset;
    this.status.set({ ...this.status.getSnapshot(), invalid: this.status.getSnapshot().invalid + 1 });
  }

  /** The engine's or the page's end: the stream is over, its readers too. */
  fail(error: SyncError): void {
    this.#failure = error;
    this.update();
  }

  /** Leaves memory; the local log stays. */
  close(): void {
    clearTimeout(this.#lingering);
    clearTimeout(this.#unknownTimer);
    this.#updating.cancel();
    if (!this.#open) return;
    this.#open = false;
    this.#opening += 1;
    this.#state = null;
    this.#local = null;
    this.#failure = null;
    this.#waitedForUnknown = false;
    this.#invalidUpto = 0;
    this.#host.say({ type: "close", stream: this.name });
    for (const reader of [...this.#readers]) reader.target.onClosed();
    this.pending.clearSaved();
    this.status.set(IDLE_STREAM);
    this.#tellStatus();
    this.#handles.clear();
    this.#host.closed(this);
  }

  // What the session passes on from the engine, in its order.

  onState(state: EngineStreamState): void {
    const before = this.#state;
    this.#state = state;
    if (this.#open && !this.#loading && state.phase === "ready") {
      this.#loading = true;
      void this.#load(this.#opening);
    }
    // A catch-up tells its progress with every batch; what an app waits for is told at once.
    if (before?.phase === state.phase && before.caughtUp === state.caughtUp && this.isReady) this.#updating.request();
    else this.update();
    if (state.head !== null && (before?.head ?? null) === null) for (const reader of [...this.#readers]) reader.target.onAgreed();
    callAll(this.#stateListeners);
  }

  onSaved(event: EngineLogEvent, write: Write | null): void {
    const others = this.pending.markSaved(event, write);
    this.#kind ??= kindOf(event.kind);
    for (const reader of [...this.#readers]) {
      if (others !== null) reader.onWritten(others);
      else reader.target.onPendingChanged();
    }
    this.update();
  }

  onFailed(write: Write): void {
    const event = this.pending.removeUnsaved(write);
    if (event !== null) for (const reader of [...this.#readers]) reader.target.onUnsaved(event);
    this.update();
  }

  onApplied(batch: EngineApplied): void {
    this.#noteKind(batch.events);
    for (const reader of [...this.#readers]) reader.applied(batch);
    if (this.#readers.size === 0) for (const event of batch.events) this.pending.remove(event.id);
    if (this.#local === "empty" && batch.upto > 0) this.#local = "something";
    if (this.isReady) this.#updating.request();
    else this.update();
  }

  onGrown(epoch: string, upto: number): void {
    if (this.#local === "empty" && upto > 0) this.#local = "something";
    for (const reader of [...this.#readers]) reader.grown(epoch, upto);
  }

  onRejected(rejections: readonly EngineRejection[]): void {
    // What a document lists itself, as a copy of this profile edited in its place, has no effect here that could be undone.
    const undone = rejections.flatMap(({ id, code }) => {
      const event = this.pending.remove(id);
      return event === null || code === "profile-copied" ? [] : event;
    });
    if (undone.length > 0) for (const reader of [...this.#readers]) reader.target.onRefused(undone);
    this.update();
  }

  onRenamed(from: string, to: string): void {
    this.pending.rename(from, to);
    for (const reader of [...this.#readers]) {
      reader.rename(from, to);
      reader.target.onPendingChanged();
    }
  }

  onReset(): void {
    this.#invalidUpto = 0;
    for (const reader of [...this.#readers]) reader.reset();
  }

  /** A reader met an own event in the log, which tells its write the offset. */
  onOwnSeen(epoch: string, { id, offset, check }: EngineLogEvent): void {
    if (offset !== null) this.#host.seen(this.name, epoch, id, offset, check ?? "");
  }

  /** A reader saw an own event in the log: it is pending no more once all readers have. */
  onSeen(id: string): void {
    if ([...this.#readers].every((reader) => reader.hasSeen(id))) this.pending.remove(id);
  }

  /** Recomputes the status; called whenever something it is made of changed. */
  update(): void {
    if (!this.#open) return;
    const before = this.status.getSnapshot();
    const state = this.#state;
    const error = this.#failure ?? null;
    const pending = Math.max(state?.pending ?? 0, this.pending.list.length);
    const next: StreamStatus = {
      phase: this.#phase(),
      error: error?.toJSON() ?? toErrorInfo(state?.error ?? null, this.name) ?? this.#host.trouble,
      exists: this.#local === "something" || this.pending.list.length > 0 ? true : (state?.exists ?? "unknown"),
      caughtUp: state?.caughtUp ?? false,
      progress: this.#progress(before),
      savedOn: this.#savedOn(pending),
      pending,
      rejected: state?.rejected ?? 0,
      access: state?.access ?? "write",
      outdated: this.#outdated,
      invalid: before.invalid,
    };
    this.status.set(keepSame(before, next));
    if (this.status.getSnapshot() !== before) this.#tellStatus();
  }

  #tellStatus(): void {
    for (const reader of [...this.#readers]) reader.target.onStatus();
    for (const handle of [...this.#handles]) handle.onFeedStatus();
  }

  /** The error of `phase: "failed"`. */
  get failure(): SyncError | null {
    if (this.#failure !== null) return this.#failure;
    const error = this.#state?.phase === "failed" ? this.#state.error : null;
    return error === null ? null : new SyncError(toSyncErrorCode(error.code), error.message, { stream: this.name });
  }

  #phase(): StreamStatus["phase"] {
    if (this.failure !== null) return "failed";
    if (this.#local === null) return "loading";
    if (this.#local === "something" || this.pending.list.length > 0 || this.status.getSnapshot().phase === "ready") return "ready";
    // Nothing here. The relay's word decides; what it has must arrive first, else the app would show a flash of emptiness.
    if (!this.#host.hasRelay || this.#state?.exists === false || this.#state?.caughtUp === true) return "ready";
    if (this.#host.reach === "connecting") return this.#waitedForUnknown ? "ready" : "loading";
    return this.#host.reach === "none" ? "ready" : "loading";
  }

  /** What this page has not saved is not known to the engine as this page's; all else follows from what is pending. */
  #savedOn(pending: number): StreamStatus["savedOn"] {
    const unsaved = this.pending.list.some((event) => event.id === null) || this.#unsavedElsewhere > 0;
    if (unsaved || (pending > 0 && this.#host.inMemory)) return "none";
    return pending > 0 || !this.#host.hasRelay ? "device" : "relay";
  }

  #progress(before: StreamStatus): number | null {
    const state = this.#state;
    if (state === null || state.caughtUp || state.head === null || state.head <= 0 || this.#host.reach !== "connected") return null;
    return Math.max(before.progress ?? 0, Math.min(1, state.cursor / state.head));
  }

  #start(): void {
    if (this.#open) return;
    this.#open = true;
    this.#host.opened(this);
    this.#host.say({ type: "open", stream: this.name });
    this.#unknownTimer = setTimeout(() => {
      this.#waitedForUnknown = true;
      this.update();
    }, UNKNOWN_MS_MAX);
    this.#opening += 1;
    this.#loading = false;
    this.pending.beginFetch();
    this.update();
  }

  /** Asks what is here, once the engine has the stream's local log. */
  async #load(opening: number): Promise<void> {
    try {
      const pending = await this.#host.call("pending", this.name);
      if (opening !== this.#opening) return;
      const added = this.pending.endFetch(pending);
      const first = await this.#host.call("read", this.name, 0, 1);
      if (opening !== this.#opening) return;
      this.#noteKind(first.events);
      this.#noteKind(pending);
      this.#local = first.upto > 0 || first.more ? "something" : "empty"; // more, and nothing yet: the log was replaced just now
      for (const reader of [...this.#readers]) {
        reader.start();
        if (added) reader.target.onPendingChanged();
      }
    } catch (cause) {
      // The session ended, which it tells all feeds itself, or the engine cannot read: the stream fails, the page lives.
      if (opening === this.#opening) this.fail(cause instanceof SyncError ? cause : new SyncError("engine-failed", String(cause), { stream: this.name }));
    }
    this.update();
  }

  #noteKind(events: readonly EngineLogEvent[]): void {
    if (events[0] !== undefined) this.#kind ??= kindOf(events[0].kind);
  }
}

function kindOf(kind: EventKind): "document" | "stream" {
  return kind === 1 ? "stream" : "document";
}
