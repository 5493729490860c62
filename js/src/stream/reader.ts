/** A cursor over one stream's local log: pages first, then what arrives, without a seam. */
import { SyncError } from "../errors.js";
import type { EngineApplied, EngineLogEvent, EngineLogPage } from "../engine/engine.js";

/** What a reader is told. All of it synchronously, in the order of the log. */
export interface ReaderTarget {
  /** Events of the log of `epoch`; the reader stands behind them now. */
  onEvents(epoch: string, events: readonly EngineLogEvent[]): void;
  /** What stands for the log up to `offset`, where the local log begins with it; the reader stands behind it now. */
  onSnapshot(snapshot: Uint8Array, offset: number): void;
  /** The stream has another log: what came before is void, and the log comes again from its start. */
  onReset(): void;
  /** The reader has all that is on this device (told again after each catch-up). */
  onCaughtUp(): void;
  /** Reading failed; the reader stops. */
  onError(cause: unknown): void;
}

/** Largest page of a read, in bytes of events: large enough to fold at full speed, small enough to let the page paint. */
const READ_BYTES_MAX = 256 * 1024;

/** How often in a row a page may only say that the log was replaced while it was read; more is an engine at fault. */
const REPLACED_MAX = 10;

/** One reader. It never holds more than a page, whatever the distance to the end of the log. */
export class LogReader {
  readonly #read: (after: number, maxBytes: number) => Promise<EngineLogPage>;
  readonly #target: ReaderTarget;
  #epoch = "";
  #offset = 0;
  /** The furthest place that is known to exist in this log. */
  #known = 0;
  #reading = false;
  #closed = false;

  constructor(read: (after: number, maxBytes: number) => Promise<EngineLogPage>, target: ReaderTarget) {
    this.#read = read;
    this.#target = target;
  }

  get offset(): number {
    return this.#offset;
  }

  /** Reads on from where it stands until the end of the local log. */
  start(): void {
    if (!this.#reading && !this.#closed) void this.#catchUp();
  }

  /** A batch was committed. It is taken as it is if the reader stands right before it, else it is the reason to read. */
  applied(batch: EngineApplied): void {
    if (this.#closed) return;
    if (!this.#reading && batch.after === this.#offset && (batch.epoch === this.#epoch || this.#offset === 0)) {
      this.#advance(batch);
      this.#target.onCaughtUp();
      return;
    }
    this.grown(batch.epoch, batch.upto);
  }

  /** The log grew up to there, and the events were not told. */
  grown(epoch: string, upto: number): void {
    if (epoch === this.#epoch || this.#offset === 0) this.#known = Math.max(this.#known, upto);
    this.start();
  }

  /** The stream has another log. */
  reset(): void {
    if (this.#offset > 0) this.#forget();
    this.start();
  }

  close(): void {
    this.#closed = true;
  }

  async #catchUp(): Promise<void> {
    this.#reading = true;
    let replaced = 0;
    try {
      while (!this.#closed) {
        const [from, epoch, known] = [this.#offset, this.#epoch, this.#known];
        const page = await this.#read(from, READ_BYTES_MAX);
        if (this.#closed) return;
        if (this.#offset !== from || this.#epoch !== epoch) continue; // reset meanwhile: this page is of the old log
        if (from > 0 && (page.epoch !== epoch || page.after !== from)) {
          this.#forget(); // another log, or this one began again: what was read is void
          continue;
        }
        this.#advance(page);
        if (page.upto <= from) {
          if (page.more) {
            // Another log took the place of this one while the page was read: it begins at 0, where this reader stands.
            replaced += 1;
            if (replaced > REPLACED_MAX) throw new SyncError("engine-failed", "the local log says that it has more and gives nothing");
            continue;
          }
          // Nothing was told since this read began, so what was known to exist is not there as events.
          if (known === this.#known) this.#known = this.#offset;
        }
        replaced = 0;
        if (!page.more && this.#known <= this.#offset) break;
      }
    } catch (cause) {
      this.close();
      this.#target.onError(cause);
      return;
    } finally {
      this.#reading = false;
    }
    if (!this.#closed) this.#target.onCaughtUp();
  }

  #forget(): void {
    this.#epoch = "";
    this.#offset = 0;
    this.#known = 0;
    this.#target.onReset();
  }

  #advance(batch: { readonly epoch: string; readonly upto: number; readonly events: readonly EngineLogEvent[]; readonly snapshot?: Uint8Array }): void {
    this.#epoch = batch.epoch;
    this.#offset = Math.max(this.#offset, batch.upto);
    this.#known = Math.max(this.#known, this.#offset);
    if (batch.snapshot !== undefined) this.#target.onSnapshot(batch.snapshot, batch.upto);
    if (batch.events.length > 0) this.#target.onEvents(batch.epoch, batch.events);
  }
}
