/** A document or view as one store: its data, and whether that is there. */
import { toSyncError, type SyncError, type SyncErrorInfo } from "../errors.js";
import type { StreamStatus } from "../status.js";
import type { Store } from "../store.js";

/** Data, or why there is none (yet). */
export type Reading<T> =
  | { readonly status: "idle" | "loading"; readonly data: undefined; readonly error: null }
  | { readonly status: "ready"; readonly data: T; readonly error: null }
  | { readonly status: "error"; readonly data: undefined; readonly error: SyncError };

/** What documents and views have in common. */
export interface Readable<T> extends Store<T | undefined> {
  readonly ready: Promise<void>;
  readonly status: Store<StreamStatus>;
}

export const IDLE: Reading<never> = { status: "idle", data: undefined, error: null };
export const LOADING: Reading<never> = { status: "loading", data: undefined, error: null };

/** One error object for each failure, so that an error boundary is not told of it again and again. */
const errors = new WeakMap<SyncErrorInfo, SyncError>();

function errorOf(info: SyncErrorInfo): SyncError {
  const known = errors.get(info) ?? toSyncError(info, info.stream);
  errors.set(info, known);
  return known;
}

/** `fallback`: shown until there is something of this device's own, if it is not `undefined`. */
export function readingOf<T>(source: Readable<T>, fallback: T | undefined): Store<Reading<T>> {
  let last: Reading<T> = LOADING;
  const keep = (next: Reading<T>): Reading<T> => {
    const isSame = next.status === last.status && Object.is(next.data, last.data) && next.error === last.error;
    return isSame ? last : (last = next);
  };
  return {
    getSnapshot: () => {
      const { phase, error } = source.status.getSnapshot();
      if (phase === "failed" && error !== null) return keep({ status: "error", data: undefined, error: errorOf(error) });
      const data = source.getSnapshot() ?? fallback;
      return keep(data === undefined ? LOADING : { status: "ready", data, error: null });
    },
    subscribe: (listener) => {
      const ends = [source.subscribe(listener), source.status.subscribe(listener)];
      return () => ends.forEach((end) => end());
    },
  };
}

/** The same with what a selector makes of the data. */
export function selected<T, U>(reading: Reading<T>, select: (data: T) => U): Reading<U> {
  return reading.status === "ready" ? { ...reading, data: select(reading.data) } : reading;
}
