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
  /** The ids in the list, since every event of a catch-up is looked up in it. */
  readonly #ids = new Set<string>();
  /** Ids of events that were written under another one. */
  readonly #renamed = new Set<string>();
  /** Ids that left the list while a first list was being fetched: they must not come back with it. */
  #settledMeanwhile: Set<string> | null = null;

  get list(): readonly PendingEvent[] {
    return this.#events;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Written in this page a moment ago. */
  addUnsaved(event: PendingEvent): void {
    this.#events.push(event);
  }

  /** The engine committed an event. Gives the entry if it was not here yet (another tab's), else null. */
  markSaved(event: EngineLogEvent, write: Write | null): PendingEvent | null {
    if (this.#ids.has(event.id)) return null;
    this.#ids.add(event.id);
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
    const missing = events.filter((event) => !this.#ids.has(event.id) && !settled.has(event.id));
    for (const { id } of missing) this.#ids.add(id);
    // What was saved while the list was on its way is newer than all that only the list knew.
    this.#events.unshift(...missing.map((event): PendingEvent => ({ id: event.id, kind: event.kind, time: event.time, payload: event.payload, write: null })));
    return missing.length > 0;
  }

  /** It is in the log, or refused. Gives the entry. */
  remove(id: string): PendingEvent | null {
    this.#settledMeanwhile?.add(id);
    if (!this.#ids.delete(id)) return null;
    const at = this.#events.findIndex((event) => event.id === id);
    return at < 0 ? null : this.#events.splice(at, 1)[0]!;
  }

  /** It could not be saved. */
  removeUnsaved(write: Write): PendingEvent | null {
    const at = this.#events.findIndex((event) => event.write === write && event.id === null);
    return at < 0 ? null : this.#events.splice(at, 1)[0]!;
  }

  /** An own event with this id was written under another one, which a copy of this profile has used too. */
  wasRenamed(id: string): boolean {
    return this.#renamed.has(id);
  }

  /** Its id changed. */
  rename(from: string, to: string): void {
    this.#renamed.add(to);
    const event = this.#events.find((known) => known.id === from);
    if (event === undefined) return;
    event.id = to;
    this.#ids.delete(from);
    this.#ids.add(to);
  }

  /** Forgets what the engine knows too; this page's unsaved writes stay until they are answered. */
  clearSaved(): void {
    const unsaved = this.#events.filter((event) => event.id === null);
    this.#events.splice(0, this.#events.length, ...unsaved);
    this.#ids.clear();
  }

  #firstUnsaved(): number {
    const at = this.#events.findIndex((event) => event.id === null);
    return at < 0 ? this.#events.length : at;
  }
}
