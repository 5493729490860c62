/** Hooks for what is a store as it stands. */
import type { Rejection } from "../rejections.js";
import type { SyncStatus } from "../status.js";
import type { Store } from "../store.js";
import { useClient } from "./provider.js";
import { itself, useSelected, type IsEqual } from "./select.js";

/** A store that is not there (yet). */
const NOTHING: Store<undefined> = { getSnapshot: () => undefined, subscribe: () => () => undefined };

/**
 * Watches any store: `useStore(client.status)`, `useStore(write)`, `useStore(board.conflicts(path))`.
 * Renders again only when the selected value changed. With `null` or `undefined` it gives `undefined`.
 */
export function useStore<T>(store: Store<T>): T;
export function useStore<T>(store: Store<T> | null | undefined): T | undefined;
export function useStore<T, U>(store: Store<T>, selector: (value: T) => U, isEqual?: IsEqual<U>): U;
export function useStore<T, U>(store: Store<T> | null | undefined, selector: (value: T) => U, isEqual?: IsEqual<U>): U | undefined;
export function useStore(store: Store<unknown> | null | undefined, selector: (value: never) => unknown = itself, isEqual: IsEqual<unknown> = Object.is): unknown {
  const { getSnapshot } = store ?? NOTHING;
  const select = store == null ? itself : (selector as (value: unknown) => unknown);
  return useSelected<unknown, unknown>(store ?? NOTHING, getSnapshot, select, isEqual);
}

/** The client's status, for a badge. */
export function useSyncStatus(): SyncStatus;
export function useSyncStatus<U>(selector: (status: SyncStatus) => U, isEqual?: IsEqual<U>): U;
export function useSyncStatus(selector: (status: SyncStatus) => unknown = itself as (status: SyncStatus) => unknown, isEqual?: IsEqual<unknown>): unknown {
  return useStore(useClient().status, selector, isEqual);
}

/** What the relay refused, over all streams, oldest first. For typed ones: `useStore(stream.rejections)`. */
export function useRejections(): readonly Rejection[] {
  return useStore(useClient().rejections);
}
