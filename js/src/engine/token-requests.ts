/** The engine wants a token; pages have the functions that give one. */
import type { HostPage } from "./host-page.js";

/** Asks one page at a time, the newest first: its session is the freshest. */
export class TokenRequests {
  readonly #pages: HostPage[] = [];
  readonly #onToken: (token: string | null) => void;
  #asked: { readonly page: HostPage; readonly request: number } | null = null;
  /** A request that waits for a page. */
  #open: { readonly refused: boolean } | null = null;
  #requests = 0;

  constructor(onToken: (token: string | null) => void) {
    this.#onToken = onToken;
  }

  addPage(page: HostPage): void {
    this.#pages.push(page);
    if (this.#open !== null && this.#asked === null) this.#askNext();
  }

  /** The page is gone; if it was asked, another one is. */
  removePage(page: HostPage): void {
    const at = this.#pages.indexOf(page);
    if (at >= 0) this.#pages.splice(at, 1);
    if (this.#asked?.page !== page) return;
    this.#asked = null;
    this.#askNext();
  }

  /** Whether there is a page to ask. */
  get hasPages(): boolean {
    return this.#pages.length > 0;
  }

  /** The engine needs a token. Where every page that had one is gone, nobody is signed in. */
  ask(refused: boolean): void {
    this.#open = { refused };
    if (this.#asked === null) this.#askNext();
  }

  answer(page: HostPage, request: number, token: string | null): void {
    if (this.#asked?.page !== page || this.#asked.request !== request) return;
    this.clear();
    this.#onToken(token);
  }

  /** Forgets the request, answered or not. */
  clear(): void {
    this.#asked = null;
    this.#open = null;
  }

  #askNext(): void {
    const page = this.#pages.at(-1);
    if (this.#open === null) return;
    if (page === undefined) {
      this.#open = null;
      this.#onToken(null);
      return;
    }
    this.#requests += 1;
    this.#asked = { page, request: this.#requests };
    page.post({ type: "token", request: this.#requests, refused: this.#open.refused });
  }
}
