/** Own writes of one stream that its log has not shown: what views and documents put on top of the log. */
import type { EngineLogEvent, EventKind } from "../engine/engine.js";
import type { Write } from "../write.js";

/** One open write. The object stays the same while its id and author are filled in. */
export interface PendingEvent {
  /** Null until it is saved. */
  id: string | null;
  readonly kind: EventKind;
  readonly time: number;
  readonly payload: Uint8Array;
  /** The write of this page, or null: another tab's, or one from before a reload. */
  readonly write: Write | null;
}

/** The list, in the order in which the engine committed them; this page's unsaved ones at the end. */
export class PendingEvents {
  readonly #events: PendingEvent[] = [];
  /** Ids that left the list while a first list was being fetched: they must not come back with it. */
  #settledMeanwhile: Set<string> | null = null;

  get list(): readonly PendingEvent[] {
    return this.#events;
  }

  /** Written in this page a moment ago. */
  addUnsaved(event: PendingEvent): void {
    this.#events.push(event);
  }

  /** The engine committed an event. Gives the entry if it was not here yet (another tab's), else null. */
  markSaved(event: EngineLogEvent, write: Write | null): PendingEvent | null {
    if (this.#events.some((known) => known.id === event.id)) return null;
    const own = write === null ? undefined : this.#events.find((known) => known.write === write);
    if (own !== undefined) {
      own.id = event.id;
      this.#events.splice(this.#events.indexOf(own), 1);
    }
    const entry = own ?? { id: event.id, kind: event.kind, time: event.time, payload: event.payload, write };
    this.#events.splice(this.#firstUnsaved(), 0, entry);
    return own === undefined ? entry : null;
  }

  /** A list is on its way from the engine. */
  beginFetch(): void {
    this.#settledMeanwhile = new Set();
  }

  /** The list arrived: adds what is not known here. Gives true if that was anything. */
  endFetch(events: readonly EngineLogEvent[]): boolean {
    const settled = this.#settledMeanwhile ?? new Set();
    this.#settledMeanwhile = null;
    const known = new Set(this.#events.map((event) => event.id));
    const missing = events.filter((event) => !known.has(event.id) && !settled.has(event.id));
    // What was saved while the list was on its way is newer than all that only the list knew.
    this.#events.unshift(...missing.map((event): PendingEvent => ({ id: event.id, kind: event.kind, time: event.time, payload: event.payload, write: null })));
    return missing.length > 0;
  }

  /** It is in the log, or refused. Gives the entry. */
  remove(id: string): PendingEvent | null {
    this.#settledMeanwhile?.add(id);
    const at = this.#events.findIndex((event) => event.id === id);
    return at < 0 ? null : this.#events.splice(at, 1)[0]!;
  }

  /** It could not be saved. */
  removeUnsaved(write: Write): PendingEvent | null {
    const at = this.#events.findIndex((event) => event.write === write && event.id === null);
    return at < 0 ? null : this.#events.splice(at, 1)[0]!;
  }

  /** Its id changed. */
  rename(from: string, to: string): void {
    const event = this.#events.find((known) => known.id === from);
    if (event !== undefined) event.id = to;
  }

  #firstUnsaved(): number {
    const at = this.#events.findIndex((event) => event.id === null);
    return at < 0 ? this.#events.length : at;
  }
}
