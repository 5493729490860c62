/** Which pages have which streams open, and what the engine said of each last. */
import type { EngineStreamState } from "./engine.js";
import type { HostPage } from "./host-page.js";

/** How long a stream stays open after its last page vanished, in ms: a reload comes back within that. */
const LINGER_MS = 30_000;

interface OpenStream {
  readonly pages: Set<HostPage>;
  state: EngineStreamState | null;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The open streams of a host. */
export class OpenStreams {
  readonly #streams = new Map<string, OpenStream>();
  readonly #onUnused: (stream: string) => void;

  constructor(onUnused: (stream: string) => void) {
    this.#onUnused = onUnused;
  }

  /** A page opens a stream. Gives what is known of it if it was open already. */
  open(page: HostPage, stream: string): EngineStreamState | null {
    const known = this.#streams.get(stream);
    if (known === undefined) {
      this.#streams.set(stream, { pages: new Set([page]), state: null, timer: undefined });
      return null;
    }
    clearTimeout(known.timer);
    known.pages.add(page);
    return known.state;
  }

  /** A page that closes a stream has kept it for its own 30 s; one that vanished has not. */
  close(page: HostPage, stream: string, how: "left" | "vanished"): void {
    const known = this.#streams.get(stream);
    if (known === undefined || !known.pages.delete(page) || known.pages.size > 0) return;
    known.timer = setTimeout(() => {
      this.#streams.delete(stream);
      this.#onUnused(stream);
    }, how === "left" ? 0 : LINGER_MS);
  }

  closeAll(page: HostPage, how: "left" | "vanished"): void {
    for (const stream of [...this.#streams.keys()]) this.close(page, stream, how);
  }

  remember(state: EngineStreamState): void {
    const known = this.#streams.get(state.stream);
    if (known !== undefined) known.state = state;
  }

  pagesOf(stream: string): Iterable<HostPage> {
    return this.#streams.get(stream)?.pages ?? [];
  }

  clear(): void {
    for (const { timer } of this.#streams.values()) clearTimeout(timer);
    this.#streams.clear();
  }
}
