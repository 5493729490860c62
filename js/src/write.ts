/** What a write returns, and how its fate is followed. */
import { SyncError } from "./errors.js";
import { toEventId, type EventId, type Offset } from "./offset.js";
import { ValueStore, type Store } from "./store.js";

/**
 * Where one write stands. `saved`: committed in this device's log. `accepted`: durable on the relay; the offset is filled in
 * when the event is seen in the log, and stays null if it was only seen inside a snapshot.
 */
export type WriteState =
  | { readonly stage: "unsaved" }
  | { readonly stage: "saved"; readonly id: EventId }
  | { readonly stage: "accepted"; readonly id: EventId; readonly offset: Offset | null }
  | { readonly stage: "rejected"; readonly id: EventId; readonly error: SyncError }
  | { readonly stage: "failed"; readonly error: SyncError }
  | { readonly stage: "empty" };

/**
 * What every write returns, at once. Not a promise: `await write` waits for nothing.
 * Ignoring it is safe: a failure never becomes an unhandled rejection of yours; it shows in `client.status`, and a
 * refused write in `client.rejections`, also after a reload. The handle itself lives as long as the page.
 */
export interface WriteHandle extends Store<WriteState> {
  /**
   * Settles within milliseconds, offline too. Rejects with `storage-full`, `storage-lost`, `closed`, and `too-large`: what no
   * event can hold is among the rejections. Empty: `null`.
   */
  readonly saved: Promise<EventId | null>;
  /**
   * Settles when the relay has answered: offline that may be days, so do not block a user interface on it.
   * Rejects with `rejected` (see `error.rejection`), `access-denied`, `access-revoked`, `too-large`, or as `saved`.
   * Empty: `null`, once what was written to the stream before it is answered; rejects as the last of that does.
   */
  readonly accepted: Promise<EventId | null>;
}

/** A promise with its ends outside. Marked as handled: an app that ignores it sees no unhandled rejection. */
class Deferred<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T | Promise<T>) => void;
  reject!: (error: SyncError) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.promise.catch(() => undefined);
  }
}

/** One write of this page. The owner moves it on; each move that comes too late is ignored. */
export class Write implements WriteHandle {
  readonly #state = new ValueStore<WriteState>({ stage: "unsaved" });
  readonly #saved = new Deferred<EventId | null>();
  readonly #accepted = new Deferred<EventId | null>();
  readonly #beforeWait: () => void;

  /** `beforeWait` runs when somebody asks for `saved`: an open change of a document is closed then, not a frame later. */
  constructor(beforeWait: () => void = () => undefined) {
    this.#beforeWait = beforeWait;
  }

  readonly getSnapshot = this.#state.getSnapshot;
  readonly subscribe = this.#state.subscribe;

  get saved(): Promise<EventId | null> {
    this.#beforeWait();
    return this.#saved.promise;
  }

  get accepted(): Promise<EventId | null> {
    return this.#accepted.promise;
  }

  /** Committed in this device's log. */
  markSaved(id: string): void {
    if (this.getSnapshot().stage !== "unsaved") return;
    this.#saved.resolve(toEventId(id));
    this.#state.set({ stage: "saved", id: toEventId(id) });
  }

  /** The relay has it; `offset` when it was seen in the log, which may be told before or after the relay's answer. */
  markAccepted(offset: Offset | null): void {
    const state = this.getSnapshot();
    if (state.stage !== "saved" && !(state.stage === "accepted" && state.offset === null && offset !== null)) return;
    this.#accepted.resolve(state.id);
    this.#state.set({ stage: "accepted", id: state.id, offset });
  }

  /** The relay refused it; after `accepted` too, when the log that held it was lost. */
  markRejected(error: SyncError): void {
    const state = this.getSnapshot();
    if (state.stage !== "saved" && state.stage !== "accepted") return;
    this.#accepted.reject(error);
    this.#state.set({ stage: "rejected", id: state.id, error });
  }

  /** It could not be saved, or nobody is left who would. */
  markFailed(error: SyncError): void {
    const state = this.getSnapshot();
    if (state.stage === "saved") {
      this.#accepted.reject(error); // it is safe on this device, so the state stays; only nobody here will hear the answer
      return;
    }
    if (state.stage !== "unsaved") return;
    this.#saved.reject(error);
    this.#accepted.reject(error);
    this.#state.set({ stage: "failed", error });
  }

  /** It changed nothing, so there is no event; `last`: the stream's last write before it, unless that is answered. */
  markEmpty(last: WriteHandle | null): void {
    if (this.getSnapshot().stage !== "unsaved") return;
    this.#saved.resolve(null);
    this.#accepted.resolve(last === null ? null : last.accepted.then(() => null));
    this.#state.set({ stage: "empty" });
  }

  /** From here on it goes as another write goes. */
  follow(other: WriteHandle): void {
    const copy = (): void => {
      const state = other.getSnapshot();
      if (state.stage === "empty") return this.markEmpty(other);
      if (state.stage === "failed") return this.markFailed(state.error);
      if (state.stage === "unsaved") return;
      this.markSaved(state.id);
      this.rename(state.id);
      if (state.stage === "accepted") this.markAccepted(state.offset);
      if (state.stage === "rejected") this.markRejected(state.error);
    };
    other.subscribe(copy);
    copy();
  }

  /** Its id changed, since a copy of this profile uses it too. */
  rename(id: string): void {
    const state = this.getSnapshot();
    if ((state.stage === "saved" || state.stage === "accepted") && state.id !== id) this.#state.set({ ...state, id: toEventId(id) });
  }
}

/** A write that changed nothing; `last` as for {@link Write.markEmpty}. */
export function emptyWrite(last: WriteHandle | null): Write {
  const write = new Write();
  write.markEmpty(last);
  return write;
}

/** The error with which `accepted` rejects: the relay's own codes keep their meaning, all others are the validator's. */
export function rejectionError(stream: string, code: string, reason: string): SyncError {
  const rejection = { code, reason };
  const text = reason === "" ? `refused: ${code}` : reason;
  const own = code === "access-denied" || code === "access-revoked" || code === "too-large" ? code : "rejected";
  return new SyncError(own, text, { stream, rejection });
}
