/** What this device holds: lists of streams by prefix of the name, kept up to date while somebody watches them. */
import type { EngineLocalStream } from "./engine/engine.js";
import type { Session } from "./session.js";
import { keepSame } from "./status.js";
import { ValueStore, type Store } from "./store.js";

/** A stream that this device holds. */
export interface LocalStream {
  readonly name: string;
  readonly kind: "document" | "stream";
  /** What its log takes here, about. */
  readonly usedBytes: number;
  readonly pending: number;
}

/** How long a list may be behind, in ms: writing comes in bursts, and each list costs a walk over all streams. */
const REFRESH_MS = 500;

/** All lists of one client. */
export class LocalStreams {
  readonly #session: Session;
  readonly #lists = new Map<string, ValueStore<readonly LocalStream[]>>();
  readonly #watched = new Set<string>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(session: Session) {
    this.#session = session;
  }

  list(prefix: string): Store<readonly LocalStream[]> {
    const known = this.#lists.get(prefix);
    if (known !== undefined) return known;
    const list = new ValueStore<readonly LocalStream[]>([], () => {
      this.#watched.add(prefix);
      this.#session.use();
      void this.#refresh(prefix);
      return () => this.#watched.delete(prefix);
    });
    this.#lists.set(prefix, list);
    return list;
  }

  /** The engine told something. */
  changed(): void {
    if (this.#watched.size === 0 || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      for (const prefix of this.#watched) void this.#refresh(prefix);
    }, REFRESH_MS);
  }

  async #refresh(prefix: string): Promise<void> {
    const list = this.#lists.get(prefix);
    const held: readonly EngineLocalStream[] | null = await this.#session.call("streams", prefix).catch(() => null);
    if (list === undefined || held === null) return; // the session is over: the last list stays
    const before = list.getSnapshot();
    const now = held.map((stream) => keepSame(before.find(({ name }) => name === stream.name) ?? stream, stream));
    if (now.length !== before.length || now.some((stream, index) => stream !== before[index])) list.set(now);
  }
}
