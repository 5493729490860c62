/** Selecting from a store: the one place that touches `useSyncExternalStore`. */
import { useCallback } from "react";
// React's own: the last result of a selector stays while it is equal, also when a render is thrown away.
import { useSyncExternalStoreWithSelector } from "use-sync-external-store/with-selector";
import type { Store } from "../store.js";

/** When a selector's result counts as unchanged; `Object.is` if left out. */
export type IsEqual<U> = (a: U, b: U) => boolean;

/** Equality by one level of keys or items, for selectors that build an object or array. */
export function shallowEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && Object.is(a[key], b[key]));
}

/** An array or a plain object: of others (dates, bytes) the keys do not tell. */
function isContainer(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) return false;
  return Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null;
}

/** The selector where none is given. */
export const itself = <T>(value: T): T => value;

/** What `select` makes of a store's value. `onServer`: the value on a server, and during hydration. */
export function useSelected<T, U>(store: Store<T>, onServer: () => T, select: (value: T) => U, isEqual: IsEqual<U>): U {
  const subscribe = useCallback((listener: () => void) => store.subscribe(listener), [store]);
  return useSyncExternalStoreWithSelector(subscribe, store.getSnapshot, onServer, select, isEqual);
}
