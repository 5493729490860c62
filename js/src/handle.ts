/** What documents and streams have in common. */
import { SyncError } from "./errors.js";
import { Ready } from "./ready.js";
import { until } from "./session.js";
import { keepSame, type StreamStatus } from "./status.js";
import { ValueStore, type Store, type Unsubscribe } from "./store.js";
import type { Feed } from "./stream/feed.js";
import type { FeedHost } from "./stream/feed-host.js";

/** What documents and streams have in common. Handles are cached: the same definition and name give the same object. */
export interface Handle {
  /** The full stream name. */
  readonly name: string;
  /**
   * Resolves when there is something to show: at once from this device's log; else with the relay's first answer; with the
   * defaults at once while there is no connection, and after at most 3 s of trying to connect. Opens the stream. Rejects only with `access-denied`,
   * `access-revoked`, `wrong-kind`, `outdated-app`, `engine-failed`, `closed`.
   */
  readonly ready: Promise<void>;
  readonly status: Store<StreamStatus>;
  /** Resolves when everything that the relay has now is on this device. Rejects with `signal.reason` on abort. */
  caughtUp(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Keeps it open and following with no subscriber, so that it is there offline. Until called back or the page closes. */
  keepOpen(): Unsubscribe;
}

/** The part of a handle that both kinds share: it shows its feed's status, unless the name belongs to the other kind. */
export abstract class FeedHandle implements Handle {
  readonly name: string;
  readonly status: Store<StreamStatus>;
  protected readonly feed: Feed;
  protected readonly readiness: Ready;
  readonly #kind: "document" | "stream";
  readonly #host: FeedHost;
  readonly #status: ValueStore<StreamStatus>;

  protected constructor(feed: Feed, kind: "document" | "stream", host: FeedHost) {
    this.feed = feed;
    this.name = feed.name;
    this.#kind = kind;
    this.#host = host;
    this.#status = new ValueStore<StreamStatus>(feed.status.getSnapshot(), () => this.hold());
    this.status = {
      getSnapshot: () => {
        this.onFeedStatus(); // with no subscriber of its own, a handle is not told what others do with its stream
        return this.#status.getSnapshot();
      },
      subscribe: this.#status.subscribe,
    };
    this.readiness = new Ready(() => this.hold()());
  }

  get ready(): Promise<void> {
    return this.readiness.promise;
  }

  readonly keepOpen = (): Unsubscribe => this.hold();

  readonly caughtUp = async (options: { readonly signal?: AbortSignal } = {}): Promise<void> => {
    const release = this.hold();
    const told = {
      subscribe: (listener: () => void): Unsubscribe => {
        const ends = [this.status.subscribe(listener), this.feed.onEngineState(listener)];
        return () => ends.forEach((end) => end());
      },
    };
    const isCaughtUp = (): boolean => this.#working() && this.feed.isLoaded && (!this.#host.hasRelay || this.feed.state?.caughtUp === true);
    try {
      await until(told, isCaughtUp, options.signal);
      if (!this.#host.hasRelay) return; // there is nobody who has more
      const asked = this.feed.state?.answers ?? 0;
      this.#host.say({ type: "refresh", stream: this.name });
      await until(told, () => isCaughtUp() && (this.feed.state?.answers ?? 0) > asked, options.signal);
    } finally {
      release();
    }
  };

  /** Called by the feed whenever its status changed. */
  onFeedStatus(): void {
    const status = this.feed.status.getSnapshot();
    const failure = this.failure;
    const phase = failure !== null ? "failed" : status.phase === "ready" && !this.hasContent() ? "loading" : status.phase;
    this.#status.set(keepSame(this.#status.getSnapshot(), { ...status, phase, error: failure?.toJSON() ?? status.error }));
    if (failure !== null) this.readiness.reject(failure);
    else if (phase === "ready") this.readiness.resolve();
    else if (phase === "idle") this.readiness.renew();
  }

  /** True; throws why the handle cannot work. */
  #working(): true {
    if (this.failure !== null) throw this.failure;
    return true;
  }

  /** Opens the stream and keeps it so. */
  protected hold(): Unsubscribe {
    this.feed.watch(this);
    this.onFeedStatus();
    return this.feed.hold();
  }

  /** Whether the handle can show what the feed says is there. */
  protected hasContent(): boolean {
    return true;
  }

  /** Why this handle cannot work, or null. */
  protected get failure(): SyncError | null {
    if (this.feed.failure !== null) return this.feed.failure;
    if (this.feed.kind === null || this.feed.kind === this.#kind) return null;
    return new SyncError("wrong-kind", `"${this.name}" is a ${this.feed.kind}, opened as a ${this.#kind}`, { stream: this.name });
  }
}
