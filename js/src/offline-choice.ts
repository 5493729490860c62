/** Whether somebody went offline on purpose: kept where all tabs of this origin see it, so that it outlives the engine. */
import { engineLockName } from "./engine/protocol.js";
import type { EngineOptions } from "./engine/engine.js";

/** A place for a small word, as `localStorage` is one. */
export type WordStore = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** The choice for one user's local data. Where nothing can be kept it lasts as long as the engine. */
export class OfflineChoice {
  readonly #key: string;
  readonly #words: WordStore | null;

  constructor(engine: EngineOptions, words: WordStore | null) {
    this.#key = `${engineLockName(engine)}:offline`;
    this.#words = words;
  }

  get isOffline(): boolean {
    try {
      return this.#words?.getItem(this.#key) === "true";
    } catch {
      return false; // a browser may forbid it
    }
  }

  set(isOffline: boolean): void {
    try {
      if (isOffline) this.#words?.setItem(this.#key, "true");
      else this.#words?.removeItem(this.#key);
    } catch {
      // Then it is not kept.
    }
  }
}

/** This origin's, or null where there is none (a server) or none is allowed. */
export function browserWords(): WordStore | null {
  try {
    return typeof localStorage === "undefined" ? null : localStorage;
  } catch {
    return null;
  }
}
