/** A view in memory: the fold of the log, and the open writes folded on top of it. */
import type { AppEvent, StreamDefinitionParts, ViewDefinitionParts } from "../definitions.js";
import type { EngineLogEvent } from "../engine/engine.js";
import { SyncError } from "../errors.js";
import { OncePerFrame } from "../frames.js";
import { toEventId } from "../offset.js";
import { Ready } from "../ready.js";
import { keepSame, type StreamStatus } from "../status.js";
import { ValueStore, type Store, type Unsubscribe } from "../store.js";
import { decodeEvent, historyCut, loggedInfo } from "./events.js";
import type { Feed } from "./feed.js";
import type { FeedReader, FeedTarget } from "./feed-reader.js";
import type { PendingEvent } from "./pending.js";

/** A view over one stream. The snapshot is `undefined` until ready: accepted events, then pending ones on top. */
export interface ViewHandle<S> extends Store<S | undefined> {
  /** As a handle's `ready`; rejects with `invalid-value` too, when `reduce` throws. */
  readonly ready: Promise<void>;
  /** `progress` is that of a (re)build. */
  readonly status: Store<StreamStatus>;
  /** The same without pending events: what the relay has confirmed. */
  readonly accepted: Store<S | undefined>;
}

/** The one implementation. */
export class View<S> implements ViewHandle<S>, FeedTarget {
  readonly accepted: ValueStore<S | undefined>;
  readonly status: ValueStore<StreamStatus>;
  readonly #shown: ValueStore<S | undefined>;
  readonly #feed: Feed;
  readonly #definition: ViewDefinitionParts<S>;
  readonly #events: StreamDefinitionParts;
  readonly #user: string | null;
  readonly #ready: Ready;
  readonly #publishing = new OncePerFrame(() => this.#publish());
  #reader: FeedReader | null = null;
  /** The fold of the log up to the reader's place. */
  #folded: S;
  #caughtUp = false;
  #failure: SyncError | null = null;

  constructor(feed: Feed, definition: ViewDefinitionParts<S>, user: string | null) {
    this.#feed = feed;
    this.#definition = definition;
    this.#events = definition.stream as unknown as StreamDefinitionParts;
    this.#user = user;
    this.#folded = definition.initial;
    const hold = (): Unsubscribe => this.#hold();
    this.#shown = new ValueStore<S | undefined>(undefined, hold);
    this.accepted = new ValueStore<S | undefined>(undefined, hold);
    this.status = new ValueStore<StreamStatus>(feed.status.getSnapshot(), hold);
    this.#ready = new Ready(() => this.#hold()());
  }

  readonly getSnapshot = (): S | undefined => this.#shown.getSnapshot();
  readonly subscribe = (listener: () => void): Unsubscribe => this.#shown.subscribe(listener);

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  #hold(): Unsubscribe {
    const release = this.#feed.hold();
    this.#reader ??= this.#feed.attach(this);
    return release;
  }

  onEvents(epoch: string, events: readonly EngineLogEvent[]): void {
    for (const event of events) {
      const info = loggedInfo(epoch, event);
      this.#folded = this.#fold(this.#folded, event.kind === 1 ? event.payload : null, info, event.offset ?? 0);
    }
    this.#publishing.request();
  }

  onSnapshot(): void {
    this.onError(historyCut(this.#feed.name));
  }

  onAgreed(): void {
    // A view writes nothing.
  }

  /** A write of this page shows at once, on top of what is shown; one of another tab at the next frame. */
  onWritten(event: PendingEvent): void {
    if (event.write === null) return this.#publishing.request();
    this.#publishing.cancel();
    this.#publish();
  }

  onPendingChanged(): void {
    this.#publishing.request();
  }

  onRefused(): void {
    this.#publishing.request();
  }

  onUnsaved(): void {
    this.#publish();
  }

  onCaughtUp(): void {
    if (this.#caughtUp) return;
    this.#caughtUp = true;
    this.#publish();
  }

  onStatus(): void {
    if (this.#shown.getSnapshot() === undefined) this.#publish();
    else this.#publishing.request();
  }

  onReset(): void {
    this.#folded = this.#definition.initial;
    this.#publishing.request();
  }

  onError(cause: unknown): void {
    this.#fail(cause instanceof SyncError ? cause : new SyncError("engine-failed", String(cause), { stream: this.#feed.name }));
  }

  onClosed(): void {
    this.#publishing.cancel();
    this.#reader?.detach();
    this.#reader = null;
    this.#folded = this.#definition.initial;
    this.#caughtUp = false;
    this.#failure = null;
    this.#ready.renew();
    this.accepted.set(undefined);
    this.#shown.set(undefined);
  }

  #fold(state: S, payload: Uint8Array | null, info: ReturnType<typeof loggedInfo>, offset: number): S {
    if (this.#failure !== null) return state;
    const { events, unknown, invalid } = payload === null ? { events: [], unknown: false, invalid: true } : decodeEvent(this.#events, payload);
    if (unknown) this.#feed.reportUnknown();
    if (invalid && offset > 0) this.#feed.reportInvalid(offset);
    let next = state;
    for (const event of events) {
      try {
        next = this.#definition.reduce(next, { ...(event as AppEvent), ...info });
      } catch (cause) {
        const message = `the reducer of view "${this.#definition.name}" threw on an event of type "${event.type}"`;
        this.#fail(Object.assign(new SyncError("invalid-value", message, { stream: this.#feed.name }), { cause }));
        return state;
      }
    }
    return next;
  }

  #fail(error: SyncError): void {
    this.#failure = error;
    this.#publish();
  }

  /** Sets what is shown from what is folded and pending. */
  #publish(): void {
    const feed = this.#feed.status.getSnapshot();
    const ready = this.#caughtUp && this.#feed.isReady;
    if (ready && this.#failure === null) {
      let shown = this.#folded;
      for (const event of this.#reader?.pending ?? []) shown = this.#fold(shown, event.payload, this.#pendingInfo(event), 0);
      this.accepted.set(this.#folded);
      this.#shown.set(shown);
    }
    const rebuilding = !this.#caughtUp && this.#feed.cursor > 0;
    const progress = rebuilding ? Math.min(1, (this.#reader?.offset ?? 0) / this.#feed.cursor) : feed.progress;
    const failure = this.#failure ?? this.#feed.failure;
    const phase = failure !== null ? "failed" : feed.phase === "ready" && !ready ? "loading" : feed.phase;
    this.status.set(keepSame(this.status.getSnapshot(), { ...feed, phase, progress, error: failure?.toJSON() ?? feed.error }));
    if (failure !== null) this.#ready.reject(failure);
    else if (ready) this.#ready.resolve();
  }

  #pendingInfo({ id, time }: PendingEvent): ReturnType<typeof loggedInfo> {
    return { id: id === null ? null : toEventId(id), offset: null, pending: true, author: this.#user, time, causes: {} };
  }
}
