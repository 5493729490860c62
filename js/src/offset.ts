/** Positions and ids as the app sees them: opaque strings. */
import { SyncError } from "./errors.js";

declare const brand: unique symbol;

/**
 * A position in one stream's log. Opaque: it carries the log's epoch and a digest of the log up to it, so it cannot be used
 * on another log by mistake, nor on one that was restored from a backup.
 * Storable and comparable with `===`; no arithmetic (offsets have gaps) and no meaning in another stream.
 */
export type Offset = string & { readonly [brand]: "offset" };

/**
 * `(producer, sequence)` of an event, unique within its stream: the same on every device, in the relay and its logs. May change once, before
 * the relay has accepted it, when this device's profile turns out to be a copy; write handles and rejections follow it.
 */
export type EventId = string & { readonly [brand]: "event-id" };

/** What an offset string holds. `check` is empty where only the place was told (causes). */
export interface Place {
  readonly epoch: string;
  readonly offset: number;
  readonly check: string;
}

/** `<epoch>.<offset>.<check>`: epoch and check in hex. */
export function formatOffset(place: Place): Offset {
  return `${place.epoch}.${place.offset}.${place.check}` as Offset;
}

/** Reads an offset that the app stored. Throws `invalid-value` for anything else. */
export function parseOffset(offset: string, stream: string): Place {
  const match = /^([0-9a-f]+)\.(\d{1,16})\.([0-9a-f]*)$/.exec(offset);
  const number = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(number)) {
    throw new SyncError("invalid-value", "this is not an offset of a Tidelog stream", { stream });
  }
  return { epoch: match[1]!, offset: number, check: match[3]! };
}

/** An id that came from the engine. */
export function toEventId(id: string): EventId {
  return id as EventId;
}
