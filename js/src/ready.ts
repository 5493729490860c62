/** The `ready` promise of a handle: the same one until it is settled and its stream was closed again. */
import type { SyncError } from "./errors.js";

/** Asking for the promise opens the stream. */
export class Ready {
  readonly #open: () => void;
  #promise!: Promise<void>;
  #resolve!: () => void;
  #reject!: (error: SyncError) => void;
  #settled: "no" | "resolved" | "rejected" = "no";

  constructor(open: () => void) {
    this.#open = open;
    this.#make();
  }

  get promise(): Promise<void> {
    this.#open();
    return this.#promise;
  }

  resolve(): void {
    if (this.#settled === "rejected") this.#make(); // it works after all: those who ask from now on get that
    this.#settled = "resolved";
    this.#resolve();
  }

  reject(error: SyncError): void {
    if (this.#settled === "resolved") this.#make();
    this.#settled = "rejected";
    this.#reject(error);
  }

  /** The stream was closed: who asks now waits for the next opening. A promise that waits stays the same. */
  renew(): void {
    if (this.#settled !== "no") this.#make();
  }

  #make(): void {
    this.#settled = "no";
    this.#promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#promise.catch(() => undefined); // nobody need wait for it
  }
}
