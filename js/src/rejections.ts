/** What the relay refused, until somebody decides. */
import type { AppEvent } from "./definitions.js";
import type { Patch } from "./document/types.js";
import type { EngineRejection } from "./engine/engine.js";
import { SyncError } from "./errors.js";
import { toEventId, type EventId } from "./offset.js";
import type { Session } from "./session.js";
import { ValueStore, type Store } from "./store.js";
import { decodeJson, encodeJson } from "./stream/events.js";
import { jsonProblem, refuseInvalid } from "./schema.js";
import { Write, type WriteHandle } from "./write.js";

/** What every refused write has. It has left the outbox, is undone in views and documents, and waits for a decision. */
export interface RejectionInfo {
  readonly id: EventId;
  readonly stream: string;
  /** The relay's or your validator's code, e.g. `"insufficient-funds"`; or `access-denied`, `too-large`, `depends-on-rejected`. */
  readonly code: string;
  /** For people, in the language the validator chose. May be empty. */
  readonly reason: string;
  /** Milliseconds since 1970, this device's clock. */
  readonly time: number;
}

/** A refused event. */
export interface EventRejection<E extends AppEvent = AppEvent> extends RejectionInfo {
  readonly kind: "event";
  readonly event: E;
  /** Appends it (or a corrected one) as a new event at the end; this entry goes away once that is saved. */
  retry(corrected?: E): WriteHandle;
  /** Forgets it. Resolves when that is saved on this device. */
  discard(): Promise<void>;
}

/** A refused change of a document, together with the changes made on top of it. */
export interface ChangeRejection extends RejectionInfo {
  readonly kind: "change";
  /** What was undone, to show it; empty for the moment until it has been worked out. */
  readonly patches: readonly Patch[];
  /** Makes the same edits again on the document as it is now. */
  retry(): WriteHandle;
  /** As for events. */
  discard(): Promise<void>;
}

/** A refused write. */
export type Rejection = EventRejection | ChangeRejection;

/** What the list needs of documents, which are loaded only when there are any. */
export interface ChangeEdits {
  /** The edits that a refused change of this stream held. */
  patchesOf(stream: string, payload: Uint8Array): Promise<readonly Patch[]>;
  /** Makes edits again on the document as it is now; the write is that of the new change. */
  retry(stream: string, patches: Promise<readonly Patch[]>): WriteHandle;
}

/** All refused writes of this device, oldest first, the same in all tabs. */
export class RejectionList {
  readonly store: Store<readonly Rejection[]>;
  readonly #session: Session;
  readonly #edits: ChangeEdits;
  readonly #list: ValueStore<readonly Rejection[]>;
  /** What was made of each entry: the same object for as long as the entry says the same. */
  readonly #known = new Map<string, Rejection>();
  readonly #patches = new Map<string, Promise<readonly Patch[]>>();
  #fetching: "no" | "yes" | "again" = "no";

  constructor(session: Session, edits: ChangeEdits) {
    this.#session = session;
    this.#edits = edits;
    this.#list = new ValueStore<readonly Rejection[]>([], () => {
      session.use();
      this.refresh();
      return () => undefined;
    });
    this.store = this.#list;
  }

  /** Asks the engine again: something was refused, renamed or dropped, here or in another tab. */
  refresh(): void {
    if (this.#fetching !== "no") {
      this.#fetching = "again";
      return;
    }
    void this.#fetch();
  }

  async #fetch(): Promise<void> {
    do {
      this.#fetching = "yes";
      try {
        this.#show(await this.#session.call("rejections"));
      } catch {
        break; // the session is over: the last list stays
      }
    } while ((this.#fetching as string) === "again");
    this.#fetching = "no";
  }

  #show(refused: readonly EngineRejection[]): void {
    const before = this.#list.getSnapshot();
    const keys = new Set(refused.map(keyOf));
    for (const key of this.#known.keys()) {
      if (keys.has(key)) continue;
      this.#known.delete(key);
      this.#patches.delete(key);
    }
    const now = refused.map((rejection) => this.#entry(rejection));
    if (now.length !== before.length || now.some((entry, index) => entry !== before[index])) this.#list.set(now);
  }

  #entry(refused: EngineRejection): Rejection {
    const key = keyOf(refused);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const entry = refused.kind === 1 ? this.#eventEntry(refused) : this.#changeEntry(refused, []);
    this.#known.set(key, entry);
    if (refused.kind !== 1) {
      void this.#patchesOf(refused).then((patches) => {
        if (this.#known.get(key) !== entry || patches.length === 0) return;
        const full = this.#changeEntry(refused, patches);
        this.#known.set(key, full);
        this.#list.set(this.#list.getSnapshot().map((shown) => (shown === entry ? full : shown)));
      }, () => undefined); // it is shown without them; `retry` says why it cannot
    }
    return entry;
  }

  #eventEntry(refused: EngineRejection): EventRejection {
    // What was appended here was checked then; a payload that is none now can still be discarded.
    const event = decodeJson(refused.payload) ?? { type: "" };
    return {
      ...info(refused),
      kind: "event",
      event,
      retry: (corrected = event) => {
        if (corrected.payload !== undefined) refuseInvalid(jsonProblem(corrected.payload), refused.stream);
        if (this.#session.ended !== null) throw this.#session.ended;
        const write = new Write();
        this.#session.feed(refused.stream).append(1, encodeJson(corrected), write, false);
        this.#dropOnceSaved(refused, write);
        return write;
      },
      discard: () => this.#drop(refused),
    };
  }

  #changeEntry(refused: EngineRejection, patches: readonly Patch[]): ChangeRejection {
    return {
      ...info(refused),
      kind: "change",
      patches,
      retry: () => {
        if (this.#session.ended !== null) throw this.#session.ended;
        const write = this.#edits.retry(refused.stream, this.#patchesOf(refused));
        this.#dropOnceSaved(refused, write);
        return write;
      },
      discard: () => this.#drop(refused),
    };
  }

  #patchesOf(refused: EngineRejection): Promise<readonly Patch[]> {
    const key = keyOf(refused);
    const known = this.#patches.get(key) ?? this.#edits.patchesOf(refused.stream, refused.payload);
    this.#patches.set(key, known);
    return known;
  }

  #dropOnceSaved(refused: EngineRejection, write: WriteHandle): void {
    const isSettled = write.saved.then(() => true, ({ code }: SyncError) => code === "too-large"); // such a try is listed itself
    isSettled.then((settled) => (settled ? this.#drop(refused) : undefined)).catch(() => undefined); // else the entry stays
  }

  async #drop({ id, stream }: EngineRejection): Promise<void> {
    await this.#session.call("dropRejection", id, stream);
    this.refresh();
  }
}

/** What tells an entry from all others: an id is unique within its stream only. */
function keyOf({ id, stream }: EngineRejection): string {
  return `${stream} ${id}`; // no stream's name holds a space
}

function info({ id, stream, code, reason, time }: EngineRejection): RejectionInfo {
  return { id: toEventId(id), stream, code, reason, time };
}

/** The error of a change that can be shown but not made again. */
export function cannotRetry(stream: string): SyncError {
  return new SyncError("invalid-value", "the places that this change edited are no longer there", { stream });
}
