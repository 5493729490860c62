/** Kinds of documents, streams and views: pure data, defined once and opened by name on a client. */
import type { EventInfo, Logged } from "./stream/events.js";
import type { DocumentShape } from "./document/types.js";
import { demand, isObject } from "./arguments.js";
import { isSchema, type SchemaOutput, type StandardSchema } from "./schema.js";

declare const typeOf: unique symbol;

// ------------------------------------------------------------------------------------------------------- documents

/** A kind of document. Pure data; two definitions may describe the same name (hot reload, two builds). */
export interface DocumentDefinition<T extends object> {
  readonly kind: "document";
  readonly [typeOf]?: (value: T) => T;
}

/** The type of a definition's documents inside `change`; `Snapshot<InferDocument<…>>` is what components read. */
export type InferDocument<D> = D extends DocumentDefinition<infer T> ? T : never;

/** Options of {@link defineDocument}. */
export interface DocumentOptions<T extends object> {
  /**
   * What a document starts with. Each top-level key is one change that comes out byte for byte equal on every device,
   * so two devices that create the same document offline agree, and a key added later appears in old documents too.
   * Never change the default of a published key; add a key.
   */
  readonly defaults: T;
}

/** A document definition as the package reads it. */
export interface DocumentDefinitionParts {
  readonly kind: "document";
  readonly defaults: Readonly<Record<string, unknown>>;
  readonly schema: StandardSchema | null;
}

/**
 * Defines a kind of document: `defineDocument<Board>({ defaults: { title: "", cards: [] } })`, or from a schema, which
 * then checks what this app writes (`change` throws `invalid-value` and nothing is applied) but never blocks a remote
 * change. `defaults` may be left out only if every key of the type is optional.
 */
export function defineDocument<S extends StandardSchema<object>>(
  options: DocumentOptions<SchemaOutput<S> & object> & { readonly schema: S },
): DocumentDefinition<SchemaOutput<S> & object>;
export function defineDocument<T extends DocumentShape<T> & object>(
  ...options: {} extends T ? [options?: DocumentOptions<T>] : [options: DocumentOptions<T>]
): DocumentDefinition<T>;
export function defineDocument(options: { defaults?: object; schema?: StandardSchema } = { defaults: {} }): DocumentDefinition<object> {
  demand(isObject(options) && isObject(options.defaults), "defineDocument takes { defaults: { ... } }, or nothing where every key is optional", isObject(options) ? options.defaults : options);
  demand(options.schema === undefined || isSchema(options.schema), "the `schema` of defineDocument must be a Standard Schema", options.schema);
  const parts: DocumentDefinitionParts = {
    kind: "document",
    defaults: options.defaults as Record<string, unknown>,
    schema: options.schema ?? null,
  };
  return Object.freeze(parts);
}

// --------------------------------------------------------------------------------------------------------- streams

/** An application event as the app writes it: the shape of a Redux action. `payload` must be JSON. */
export type AppEvent = {
  readonly type: string;
  readonly payload?: unknown;
};

/** Marks the payload type of one event type; see {@link event}. */
export interface EventType<Payload> {
  readonly [typeOf]?: Payload;
  readonly "~event": true;
}

/** Declares an event type without a schema: `event<{ amount: number }>()`, or `event()` for one without a payload. */
export function event(): EventType<void>;
export function event<Payload>(): EventType<Payload>;
export function event(): EventType<unknown> {
  return { "~event": true };
}

type PayloadOf<D> = D extends EventType<infer P> ? P : D extends StandardSchema ? SchemaOutput<D> : never;
type EventTypes = { readonly [type: string]: EventType<unknown> | StandardSchema };
type EventFrom<M extends EventTypes> = {
  [K in keyof M & string]: [PayloadOf<M[K]>] extends [void]
    ? { readonly type: K; readonly payload?: undefined }
    : { readonly type: K; readonly payload: PayloadOf<M[K]> };
}[keyof M & string];

/** An event in the shape it had when an older build wrote it. */
export interface RetiredEvent {
  readonly type: string;
  readonly payload?: unknown;
}
type Upcast<E extends AppEvent> = { upcast(old: RetiredEvent): E | readonly E[] | null }["upcast"]; // a method: its parameter may be annotated

/** A kind of event stream. */
export interface StreamDefinition<E extends AppEvent> {
  readonly kind: "stream";
  /** The types this build understands, without the retired ones. */
  readonly types: readonly E["type"][];
  readonly [typeOf]?: (event: E) => E;
}

/** The union of a definition's events, discriminated by `type`: what `append` takes. */
export type InferEvent<D> = D extends StreamDefinition<infer E> ? E : never;

/** A stream definition as the package reads it. */
export interface StreamDefinitionParts {
  readonly kind: "stream";
  readonly types: readonly string[];
  /** Type to its schema, or to null where there is none. */
  readonly schemas: ReadonlyMap<string, StandardSchema | null>;
  readonly upcast: ReadonlyMap<string, (old: RetiredEvent) => AppEvent | readonly AppEvent[] | null>;
}

/**
 * Defines a kind of stream by its event types; the union is inferred. A type's meaning never changes: a new shape gets a
 * new name, and `upcast` turns each retired type into today's event(s) (or `null`: dropped) whenever it is read.
 * Events of types that this build does not know set `status.outdated` and are skipped, never lost.
 */
export function defineStream<M extends EventTypes>(options: {
  readonly events: M;
  /** Annotate the parameter with the old shape. Must be pure: it runs on every read. */
  readonly upcast?: { readonly [retiredType: string]: Upcast<EventFrom<M>> };
}): StreamDefinition<EventFrom<M>> {
  demand(isObject(options) && isObject(options.events), "defineStream takes { events: { ... } }, each event() or a schema", isObject(options) ? options.events : options);
  for (const [type, declared] of Object.entries(options.events)) {
    demand(isSchema(declared) || (isObject(declared) && "~event" in declared), `the event "${type}" must be event() or a Standard Schema`, declared);
  }
  const parts: StreamDefinitionParts = {
    kind: "stream",
    types: Object.keys(options.events),
    schemas: new Map(Object.entries(options.events).map(([type, declared]) => [type, isSchema(declared) ? declared : null])),
    upcast: new Map(Object.entries(options.upcast ?? {})),
  };
  return Object.freeze(parts) as StreamDefinition<EventFrom<M>>;
}

// ----------------------------------------------------------------------------------------------------------- views

/** A way to derive state from a kind of stream. */
export interface ViewDefinition<E extends AppEvent, S> {
  readonly kind: "view";
  readonly name: string;
  readonly revision: number;
  readonly stream: StreamDefinition<E>;
  readonly [typeOf]?: (state: S) => S;
}

/** The state of a view definition. */
export type InferView<D> = D extends ViewDefinition<infer _E, infer S> ? S : never;

/** A view definition as the package reads it. */
export interface ViewDefinitionParts<S = unknown> {
  readonly kind: "view";
  readonly name: string;
  readonly revision: number;
  readonly stream: StreamDefinition<AppEvent>;
  readonly initial: S;
  readonly reduce: (state: S, event: AppEvent & EventInfo) => S;
}

/**
 * Defines a view. `reduce` is a Redux reducer over logged events; `slice.reducer` fits. It must be pure: it runs again
 * when pending events are confirmed in another order. The state should survive `structuredClone`, so that it can be kept on
 * this device later. Changed `reduce`? Raise `revision`.
 */
export function defineView<E extends AppEvent, S>(
  stream: StreamDefinition<E>,
  options: {
    /** Unique among the views of this kind of stream. */
    readonly name: string;
    /** 1 if left out. */
    readonly revision?: number;
    readonly initial: S;
    readonly reduce: (state: S, event: Logged<E>) => S;
  },
): ViewDefinition<E, S> {
  demand(stream?.kind === "stream", "defineView takes a definition of defineStream", stream);
  demand(isObject(options) && typeof options.name === "string" && typeof options.reduce === "function", "defineView takes { name, initial, reduce } after it", options);
  const parts = { kind: "view" as const, stream, name: options.name, revision: options.revision ?? 1, initial: options.initial, reduce: options.reduce };
  return Object.freeze(parts);
}
