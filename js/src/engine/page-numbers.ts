/** Numbers for the pages of one host, the lowest first: what the engine makes their Automerge actors of. */
import type { HostPage } from "./host-page.js";

/**
 * How long a number rests after its page vanished, in ms: the last that the page said may come after the news of its end,
 * and whoever goes on under its actor must have seen all of it.
 */
const REST_MS = 2000;

/** One page has a number at a time, and keeps it while it lives. */
export class PageNumbers {
  readonly #numbers = new Map<HostPage, number>();
  readonly #resting = new Map<number, ReturnType<typeof setTimeout>>();

  /** The page's number; the lowest free one if it has none yet. */
  of(page: HostPage): number {
    const known = this.#numbers.get(page);
    if (known !== undefined) return known;
    const taken = new Set([...this.#numbers.values(), ...this.#resting.keys()]);
    let number = 0;
    while (taken.has(number)) number += 1;
    this.#numbers.set(page, number);
    return number;
  }

  /** The page is gone. One that said so itself has nothing more to say. */
  free(page: HostPage, how: "left" | "vanished"): void {
    const number = this.#numbers.get(page);
    this.#numbers.delete(page);
    if (number === undefined || how === "left") return;
    this.#resting.set(number, setTimeout(() => this.#resting.delete(number), REST_MS));
  }

  /** All pages are gone, and their engine with them. */
  clear(): void {
    this.#numbers.clear();
    for (const timer of this.#resting.values()) clearTimeout(timer);
    this.#resting.clear();
  }
}
