/** Hooks that read a document or a view. */
import { useEffect, useMemo } from "react";
import type { AppEvent, DocumentDefinition, StreamDefinition, ViewDefinition } from "../definitions.js";
import type { DocumentHandle } from "../document-types.js";
import type { Snapshot } from "../document/types.js";
import type { SyncError } from "../errors.js";
import type { Store } from "../store.js";
import type { StreamHandle } from "../stream/stream-handle.js";
import { useClient, useProvided } from "./provider.js";
import { IDLE, LOADING, readingOf, selected, type Readable, type Reading } from "./reading.js";
import { itself, useSelected, type IsEqual } from "./select.js";

/** What reading hooks return; narrow on `status`. `error` is for an error boundary or a message; the handle stays usable. */
export type ReadResult<U, H> =
  | ({ readonly status: "loading"; readonly data: undefined; readonly error: null } & H)
  | ({ readonly status: "ready"; readonly data: U; readonly error: null } & H)
  | ({ readonly status: "error"; readonly data: undefined; readonly error: SyncError } & H);

/** Result for a name that is not there yet (`null` or `undefined`). */
export type IdleResult<H> = { readonly status: "idle"; readonly data: undefined; readonly error: null } & { readonly [K in keyof H]: undefined };

/** A name, or none yet. */
export type MaybeName = string | null | undefined;

/** The handle beside a document's data. */
export interface WithDocument<T extends object> {
  readonly document: DocumentHandle<T>;
}

/** The handle beside a view's data. */
export interface WithStream<E extends AppEvent> {
  readonly stream: StreamHandle<E>;
}

/** What is read where there is no name. */
const NOTHING: Store<Reading<never>> = { getSnapshot: () => IDLE, subscribe: () => () => undefined };

/** A source's reading with a selector on top; `null`: there is none. */
function useReading<T, U>(source: Readable<T> | null, fallback: T | undefined, select: (data: T) => U, isEqual: IsEqual<U>): Reading<U> {
  const store = useMemo(() => (source === null ? NOTHING : readingOf(source, fallback)), [source, fallback]);
  const atFirst = useMemo<Reading<T>>(() => {
    if (source === null) return IDLE;
    return fallback === undefined ? LOADING : { status: "ready", data: fallback, error: null };
  }, [source, fallback]);
  const isSame = (a: Reading<U>, b: Reading<U>): boolean => {
    if (a.status !== b.status || a.error !== b.error) return false;
    return a.status !== "ready" || isEqual(a.data, b.data as U);
  };
  return useSelected<Reading<T>, Reading<U>>(store, () => atFirst, (reading) => selected(reading, select), isSame);
}

/** The same for a component that suspends. */
function dataOf<U>(reading: Reading<U>, source: Readable<unknown>): U {
  if (reading.status === "error") throw reading.error;
  if (reading.status === "ready") return reading.data;
  throw source.ready; // React waits for it and renders again
}

/**
 * Reads a document while mounted; `document.change(…)` writes. A selector limits rendering to what it returns: unchanged
 * parts of a document keep their identity, so `d => d.cards` needs no equality function.
 */
export function useDocument<T extends object>(definition: DocumentDefinition<T>, name: string): ReadResult<Snapshot<T>, WithDocument<T>>;
export function useDocument<T extends object, U>(
  definition: DocumentDefinition<T>, name: string, selector: (document: Snapshot<T>) => U, isEqual?: IsEqual<U>,
): ReadResult<U, WithDocument<T>>;
export function useDocument<T extends object>(
  definition: DocumentDefinition<T>, name: MaybeName,
): ReadResult<Snapshot<T>, WithDocument<T>> | IdleResult<WithDocument<T>>;
export function useDocument<T extends object, U>(
  definition: DocumentDefinition<T>, name: MaybeName, selector: (document: Snapshot<T>) => U, isEqual?: IsEqual<U>,
): ReadResult<U, WithDocument<T>> | IdleResult<WithDocument<T>>;
export function useDocument<T extends object>(
  definition: DocumentDefinition<T>, name: MaybeName, selector: (document: Snapshot<T>) => unknown = itself, isEqual: IsEqual<unknown> = Object.is,
): object {
  const { client, serverSnapshots } = useProvided();
  const document = name == null ? null : client.document(definition, name);
  const reading = useReading(document, serverSnapshot<T>(serverSnapshots, name), selector, isEqual);
  return useMemo(() => ({ ...reading, document: document ?? undefined }), [reading, document]);
}

/** Reads a view of a stream while mounted: accepted events, pending ones on top. */
export function useView<E extends AppEvent, S>(definition: ViewDefinition<E, S>, name: string): ReadResult<S, WithStream<E>>;
export function useView<E extends AppEvent, S, U>(
  definition: ViewDefinition<E, S>, name: string, selector: (state: S) => U, isEqual?: IsEqual<U>,
): ReadResult<U, WithStream<E>>;
export function useView<E extends AppEvent, S>(
  definition: ViewDefinition<E, S>, name: MaybeName,
): ReadResult<S, WithStream<E>> | IdleResult<WithStream<E>>;
export function useView<E extends AppEvent, S, U>(
  definition: ViewDefinition<E, S>, name: MaybeName, selector: (state: S) => U, isEqual?: IsEqual<U>,
): ReadResult<U, WithStream<E>> | IdleResult<WithStream<E>>;
export function useView<E extends AppEvent, S>(
  definition: ViewDefinition<E, S>, name: MaybeName, selector: (state: S) => unknown = itself, isEqual: IsEqual<unknown> = Object.is,
): object {
  const client = useClient();
  const stream = name == null ? null : client.stream(definition.stream, name);
  const view = stream === null ? null : stream.view(definition);
  const reading = useReading<S, unknown>(view, undefined, selector, isEqual);
  return useMemo(() => ({ ...reading, stream: stream ?? undefined }), [reading, stream]);
}

/** Keeps a stream open while mounted, to append to it. Never renders again by itself. */
export function useStream<E extends AppEvent>(definition: StreamDefinition<E>, name: string): StreamHandle<E> {
  const stream = useClient().stream(definition, name);
  useEffect(() => stream.keepOpen(), [stream]);
  return stream;
}

/** As {@link useDocument}, but suspends while loading and throws a `SyncError` to the error boundary. */
export function useSuspenseDocument<T extends object>(definition: DocumentDefinition<T>, name: string): { readonly data: Snapshot<T> } & WithDocument<T>;
export function useSuspenseDocument<T extends object, U>(
  definition: DocumentDefinition<T>, name: string, selector: (document: Snapshot<T>) => U, isEqual?: IsEqual<U>,
): { readonly data: U } & WithDocument<T>;
export function useSuspenseDocument<T extends object>(
  definition: DocumentDefinition<T>, name: string, selector: (document: Snapshot<T>) => unknown = itself, isEqual: IsEqual<unknown> = Object.is,
): { readonly data: unknown } & WithDocument<T> {
  const { client, serverSnapshots } = useProvided();
  const document = client.document(definition, name);
  const reading = useReading(document, serverSnapshot<T>(serverSnapshots, name), selector, isEqual);
  return { data: dataOf(reading, document), document };
}

/** As {@link useView}, but suspends while loading and throws a `SyncError` to the error boundary. */
export function useSuspenseView<E extends AppEvent, S>(definition: ViewDefinition<E, S>, name: string): { readonly data: S } & WithStream<E>;
export function useSuspenseView<E extends AppEvent, S, U>(
  definition: ViewDefinition<E, S>, name: string, selector: (state: S) => U, isEqual?: IsEqual<U>,
): { readonly data: U } & WithStream<E>;
export function useSuspenseView<E extends AppEvent, S>(
  definition: ViewDefinition<E, S>, name: string, selector: (state: S) => unknown = itself, isEqual: IsEqual<unknown> = Object.is,
): { readonly data: unknown } & WithStream<E> {
  const stream = useClient().stream(definition.stream, name);
  const view = stream.view(definition);
  const reading = useReading<S, unknown>(view, undefined, selector, isEqual);
  return { data: dataOf(reading, view), stream };
}

function serverSnapshot<T>(all: Readonly<Record<string, unknown>> | undefined, name: MaybeName): Snapshot<T> | undefined {
  return name == null || all === undefined || !Object.hasOwn(all, name) ? undefined : (all[name] as Snapshot<T>);
}
