/** The one shape of everything that can be watched. */

/** Ends a subscription. Calling it twice is harmless. */
export type Unsubscribe = () => void;

/**
 * Anything that can be watched: fits React's `useSyncExternalStore` as it is. Both functions are bound.
 * `getSnapshot` returns the same reference until something changed; unchanged parts keep theirs.
 * Local writes notify synchronously, remote ones at most once a frame.
 */
export interface Store<T> {
  /** The value now. Never throws. */
  readonly getSnapshot: () => T;
  /** Calls `listener` after each change of the snapshot. The first subscriber opens what is watched. */
  readonly subscribe: (listener: () => void) => Unsubscribe;
}

/**
 * Calls every listener, whatever one of them throws: the first error is thrown at the end, in a task of its own, so that
 * it reaches the page's error handler and neither the other listeners nor the write that caused it.
 */
export function callAll<A extends readonly unknown[]>(listeners: Iterable<(...args: A) => void>, ...args: A): void {
  for (const listener of [...listeners]) {
    try {
      listener(...args);
    } catch (error) {
      setTimeout(() => { throw error; });
    }
  }
}

/** A store of what `getSnapshot` makes of another store: tells only when that came out as something else. */
export function derived<T>(source: Store<unknown>, getSnapshot: () => T): Store<T> {
  return {
    getSnapshot,
    subscribe: (listener) => {
      let before = getSnapshot();
      return source.subscribe(() => {
        const now = getSnapshot();
        if (now === before) return;
        before = now;
        listener();
      });
    },
  };
}

/** A store with a value that its owner sets. `onUse` runs for the first subscriber; what it returns, after the last. */
export class ValueStore<T> implements Store<T> {
  readonly #listeners = new Set<() => void>();
  readonly #onUse: (() => Unsubscribe) | undefined;
  #value: T;
  #endUse: Unsubscribe | undefined;

  constructor(value: T, onUse?: () => Unsubscribe) {
    this.#value = value;
    this.#onUse = onUse;
  }

  readonly getSnapshot = (): T => this.#value;

  readonly subscribe = (listener: () => void): Unsubscribe => {
    // Wrapped, so that one function subscribed twice is two subscriptions with an end each.
    const own = (): void => listener();
    this.#listeners.add(own);
    if (this.#listeners.size === 1) this.#endUse = this.#onUse?.();
    return () => {
      if (!this.#listeners.delete(own) || this.#listeners.size > 0) return;
      const end = this.#endUse;
      this.#endUse = undefined;
      end?.();
    };
  };

  /** Sets the value and tells the subscribers, unless it is the same. */
  set(value: T): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    callAll(this.#listeners);
  }
}
