/** A reader of one feed: a cursor over the log, and the open writes that this cursor has not met in it yet. */
import type { EngineApplied, EngineLogEvent, EngineLogPage } from "../engine/engine.js";
import type { Feed } from "./feed.js";
import type { PendingEvent } from "./pending.js";
import { LogReader } from "./reader.js";

/** What a reader is told; all of it synchronously. */
export interface FeedTarget {
  /** Events of the log, in its order. `own`: those among them that were pending here until now. */
  onEvents(epoch: string, events: readonly EngineLogEvent[], own: ReadonlySet<string>): void;
  /** What stands for the log up to `offset`: comes first, where the local log begins with it. */
  onSnapshot(snapshot: Uint8Array, offset: number): void;
  /** The relay has confirmed, on this connection, that it knows of this device what the device knows of itself. */
  onAgreed(): void;
  /** A new write is pending, of this page or of another tab. */
  onWritten(event: PendingEvent): void;
  /** Something in the list of pending writes changed that is no new write: ids were filled in, or a list was loaded. */
  onPendingChanged(): void;
  /** The relay refused them: they are pending no more. */
  onRefused(events: readonly PendingEvent[]): void;
  /** It could not be saved: it is pending no more. */
  onUnsaved(event: PendingEvent): void;
  /** All that is on this device was told. */
  onCaughtUp(): void;
  /** Another log: what was told before is void. */
  onReset(): void;
  /** The feed's status changed. */
  onStatus(): void;
  /** The stream is no longer open. */
  onClosed(): void;
  onError(cause: unknown): void;
}

/** One attached reader. */
export class FeedReader {
  readonly target: FeedTarget;
  readonly #feed: Feed;
  readonly #log: LogReader;
  readonly #seen = new Set<string>();
  readonly #onDetach: () => void;

  constructor(feed: Feed, read: (after: number, maxBytes: number) => Promise<EngineLogPage>, target: FeedTarget, onDetach: () => void) {
    this.#feed = feed;
    this.target = target;
    this.#onDetach = onDetach;
    this.#log = new LogReader(read, {
      onEvents: (epoch, events) => this.#onEvents(epoch, events),
      onSnapshot: (snapshot, offset) => target.onSnapshot(snapshot, offset),
      onReset: () => {
        this.#seen.clear();
        target.onReset();
      },
      onCaughtUp: () => target.onCaughtUp(),
      onError: (cause) => target.onError(cause),
    });
  }

  /** How far the cursor is. */
  get offset(): number {
    return this.#log.offset;
  }

  /** The open writes on top of the log as far as this reader has read it, in order. */
  get pending(): readonly PendingEvent[] {
    return this.#feed.pending.list.filter((event) => event.id === null || !this.#seen.has(event.id));
  }

  start(): void {
    this.#log.start();
  }

  applied(batch: EngineApplied): void {
    this.#log.applied(batch);
  }

  grown(epoch: string, upto: number): void {
    this.#log.grown(epoch, upto);
  }

  reset(): void {
    this.#log.reset();
  }

  onWritten(event: PendingEvent): void {
    this.target.onWritten(event);
  }

  hasSeen(id: string): boolean {
    return this.#seen.has(id);
  }

  rename(from: string, to: string): void {
    if (this.#seen.delete(from)) this.#seen.add(to);
  }

  detach(): void {
    this.#log.close();
    this.#onDetach();
  }

  #onEvents(epoch: string, events: readonly EngineLogEvent[]): void {
    const own = new Set<string>();
    for (const event of events) {
      if (!this.#feed.pending.has(event.id)) continue;
      own.add(event.id);
      this.#seen.add(event.id);
      this.#feed.onOwnSeen(epoch, event);
    }
    this.target.onEvents(epoch, events, own);
    for (const id of own) {
      this.#feed.onSeen(id);
      // Once it has left the list, nobody asks for it again.
      if (!this.#feed.pending.has(id)) this.#seen.delete(id);
    }
  }
}
