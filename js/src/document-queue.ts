/**
 * A document's changes on their way to the engine, one group at a time: a change is handed over only when those it is
 * made on top of are saved. Else one that cannot be saved would leave others in the log that no device could apply.
 */
import type { SyncError } from "./errors.js";
import { Write } from "./write.js";

/** One change to be saved. */
export interface QueuedChange {
  readonly bytes: Uint8Array;
  readonly write: Write;
}

/** What the queue needs of its document. */
export interface QueueOwner {
  append(change: QueuedChange): void;
  /** Changes more or fewer wait here and are not on this device's disk. */
  countUnsaved(by: number): void;
  /** This change will never be saved, so it must leave the document, and so must those behind it and in the queue. */
  onImpossible(change: QueuedChange, behind: readonly QueuedChange[]): void;
}

/** The queue of one document. */
export class ChangeQueue {
  readonly #owner: QueueOwner;
  /** Not handed over, or failed in a way that may pass; in order. */
  #queue: QueuedChange[] = [];
  /** Handed over and not answered; in order. */
  #underWay: QueuedChange[] = [];
  /** Those of them that failed. */
  #failed: QueuedChange[] = [];
  /** Nothing is handed over at this moment. */
  #isHeld = false;
  /** Why the device cannot save at present. */
  #trouble: SyncError | null = null;

  constructor(owner: QueueOwner) {
    this.#owner = owner;
  }

  /** Adds changes that belong together. If the device could not save before, this is the reason to try again. */
  push(changes: readonly QueuedChange[]): void {
    this.#queue.push(...changes);
    this.#owner.countUnsaved(changes.length);
    if (this.#trouble === null) return this.#next(this.#queue.length);
    this.#trouble = null;
    this.#next(this.#queue.length - changes.length);
  }

  /** The last change that is not handed over. */
  get last(): Write | null {
    return this.#queue.at(-1)?.write ?? null;
  }

  /** Hands over everything: the page may end before anything is answered. */
  flush(): void {
    if (this.#trouble === null) this.#handOver(this.#queue.length);
  }

  /** Runs `close`, which may push one more, and gives everything that was not handed over to `again`, which may push it anew. */
  takeBack(close: () => void, again: (back: readonly QueuedChange[]) => void): void {
    this.#isHeld = true;
    close();
    this.#isHeld = false;
    const back = this.#queue;
    this.#queue = [];
    again(back);
    this.#owner.countUnsaved(-back.length); // what was pushed anew is counted by now
  }

  #next(count: number): void {
    if (!this.#isHeld && this.#underWay.length === 0 && this.#queue.length > 0) this.#handOver(count);
  }

  #handOver(count: number): void {
    const changes = this.#queue.splice(0, count);
    this.#underWay.push(...changes);
    for (const change of changes) this.#follow(change);
    this.#owner.countUnsaved(-changes.length); // the feed counts them by now: at no moment does all seem saved
  }

  #follow(change: QueuedChange): void {
    const answered = (): void => {
      const { stage } = change.write.getSnapshot();
      if (stage === "unsaved" || !this.#underWay.includes(change)) return;
      stop();
      this.#underWay.splice(this.#underWay.indexOf(change), 1);
      if (stage === "failed") this.#failed.push(change);
      if (this.#underWay.length === 0) this.#settle();
    };
    const stop = change.write.subscribe(answered);
    this.#owner.append(change);
  }

  /** All that was handed over is answered. */
  #settle(): void {
    const [first, ...others] = this.#failed;
    this.#failed = [];
    if (first === undefined) return this.#next(this.#queue.length);
    const state = first.write.getSnapshot();
    if (state.stage !== "failed") return;
    if (!state.error.code.startsWith("storage-")) {
      this.#owner.onImpossible(first, others);
      return;
    }
    // The page keeps them and tries again with the next change. Who waits for those behind is told now.
    this.#trouble = state.error;
    for (const { write } of this.#queue) write.markFailed(state.error);
    const again = [first, ...others, ...this.#queue].map(({ bytes }) => ({ bytes, write: new Write() }));
    this.#owner.countUnsaved(again.length - this.#queue.length);
    this.#queue = again;
  }
}
