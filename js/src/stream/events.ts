/** From the bytes of an event to what reducers and `read` receive, and back. */
import { demand, isObject } from "../arguments.js";
import type { AppEvent, StreamDefinitionParts } from "../definitions.js";
import type { EngineLogEvent } from "../engine/engine.js";
import { formatOffset, toEventId, type EventId, type Offset } from "../offset.js";
import { jsonProblem, refuseInvalid, schemaProblem } from "../schema.js";
import { SyncError } from "../errors.js";

/** What is known of a logged (or pending) event beside its type and payload. */
export type EventInfo = {
  /** Null only for the milliseconds until it is saved. For React keys put an id of your own into the payload. */
  readonly id: EventId | null;
  /** Null while pending. */
  readonly offset: Offset | null;
  /** Written here and not yet seen in the relay's log. */
  readonly pending: boolean;
  /** The token's subject, checked by the relay; for a pending event, the client's `user`. Null: anonymous. */
  readonly author: string | null;
  /** Milliseconds since 1970 by the author's clock. To show, never to order by. */
  readonly time: number;
  /** What the author had applied when it wrote: stream name to offset. */
  readonly causes: Readonly<Record<string, Offset>>;
};

/** An event as views and `read` receive it. Fits a Redux reducer. */
export type Logged<E extends AppEvent> = E & EventInfo;

/** What one event of the log is for this build. */
export interface Decoded {
  /** Today's events: none if it is of an unknown type, dropped by `upcast`, or invalid; several if `upcast` made them. */
  readonly events: readonly AppEvent[];
  /** Of a type that this build does not know. */
  readonly unknown: boolean;
  /** Not `{ type, payload }`, or its payload breaks its schema. */
  readonly invalid: boolean;
}

const NOTHING: Decoded = { events: [], unknown: false, invalid: false };
const INVALID: Decoded = { events: [], unknown: false, invalid: true };
const UNKNOWN: Decoded = { events: [], unknown: true, invalid: false };

/** Checks what the app wants to append and gives the payload's bytes. Throws `invalid-value`. */
export function encodeEvent(definition: StreamDefinitionParts, event: AppEvent, stream: string): Uint8Array {
  demand(isObject(event), "append takes an event, { type, payload }", event);
  if (!definition.schemas.has(event.type)) {
    throw new SyncError("invalid-value", `"${event.type}" is not among the events of this definition`, { stream });
  }
  const schema = definition.schemas.get(event.type) ?? null;
  if (schema !== null) refuseInvalid(schemaProblem(schema, event.payload), stream);
  if (event.payload !== undefined) refuseInvalid(jsonProblem(event.payload), stream);
  return encodeJson(event);
}

/** The payload of kind 1: the UTF-8 JSON of `{ type, payload }`, without anything else that the object may carry. */
export function encodeJson(event: AppEvent): Uint8Array {
  const { type, payload } = event;
  return new TextEncoder().encode(JSON.stringify(payload === undefined ? { type } : { type, payload }));
}

/** The event that a payload of kind 1 holds, or null if it holds none: it comes from other builds and other programs. */
export function decodeJson(payload: Uint8Array): AppEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(payload));
  } catch {
    return null;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  const { type, payload: content } = value as { type?: unknown; payload?: unknown };
  if (typeof type !== "string") return null;
  return content === undefined ? { type } : { type, payload: content };
}

/** What a payload means to a definition: upcast, checked, or unknown. An `upcast` that throws makes it invalid. */
export function decodeEvent(definition: StreamDefinitionParts, payload: Uint8Array): Decoded {
  const event = decodeJson(payload);
  if (event === null) return INVALID;
  if (definition.schemas.has(event.type)) return check(definition, [event]);
  const upcast = definition.upcast.get(event.type);
  if (upcast === undefined) return UNKNOWN;
  try {
    const made = upcast(event);
    return made === null ? NOTHING : check(definition, Array.isArray(made) ? (made as readonly AppEvent[]) : [made as AppEvent]);
  } catch {
    return INVALID;
  }
}

function check(definition: StreamDefinitionParts, events: readonly AppEvent[]): Decoded {
  for (const event of events) {
    const schema = definition.schemas.get(event.type);
    if (schema === undefined) return UNKNOWN;
    if (schema !== null && schemaProblem(schema, event.payload) !== null) return INVALID;
  }
  return { events, unknown: false, invalid: false };
}

/** The events of a batch or page with every check that is known: the one at its end is said of the whole. */
export function withChecks<B extends { readonly upto: number; readonly check: string; readonly events: readonly EngineLogEvent[] }>(batch: B): B {
  const last = batch.events.at(-1);
  if (last === undefined || last.check !== undefined || last.offset !== batch.upto) return batch;
  return { ...batch, events: [...batch.events.slice(0, -1), { ...last, check: batch.check }] };
}

/** What a reader is told beside type and payload of an event in the log of `epoch`. */
export function loggedInfo(epoch: string, event: EngineLogEvent): EventInfo {
  return {
    id: toEventId(event.id),
    offset: event.offset === null ? null : formatOffset({ epoch, offset: event.offset, check: event.check ?? "" }),
    pending: event.offset === null,
    author: event.author,
    time: event.time,
    causes: Object.fromEntries(
      Object.entries(event.causes).map(([name, cause]) => [name, formatOffset({ ...cause, check: "" })]),
    ),
  };
}

/** A stream of events cannot be read from a snapshot. */
export function historyCut(stream: string): SyncError {
  return new SyncError("history-cut", "the beginning of this stream is no longer kept", { stream });
}
