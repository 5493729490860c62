/** Gives the same object for the same key for as long as anybody has it. */
export class WeakCache<K, V extends WeakKey> {
  readonly #entries = new Map<K, WeakRef<V>>();
  readonly #collected = new FinalizationRegistry<K>((key) => {
    // The key may have been given anew meanwhile.
    if (this.#entries.get(key)?.deref() === undefined) this.#entries.delete(key);
  });

  get(key: K): V | undefined {
    return this.#entries.get(key)?.deref();
  }

  /** Keeps it under the key, weakly, and gives it back. */
  set(key: K, value: V): V {
    this.#entries.set(key, new WeakRef(value));
    this.#collected.register(value, key);
    return value;
  }
}
