/** What page and driver say to each other, and what both know of the shared data. */

/** The shared documents and streams. The relay refuses events of `comments` that hold {@link REFUSED_WORD}. */
export const DOCUMENTS = ["notes/1", "notes/2"] as const;
export const STREAMS = ["comments/1", "events/1"] as const;
export const REFUSED_STREAM = "comments/1";
export const REFUSED_WORD = "spam";

/** A document's content. Each token stands in exactly one of `text`, `items` and `list`. */
export interface Shared {
  text: string;
  items: Record<string, string>;
  list: string[];
  /** Everybody writes this one, so it is always in conflict. */
  last: string;
}

/** One line of the ledger: what a page is about to write, or what it has just been told of a write. */
export interface Line {
  readonly token: string;
  readonly stage: "begun" | "unsaved" | "saved" | "accepted" | "rejected" | "failed" | "empty";
  /** With `begun`. */
  readonly stream?: string;
  /** With `begun`: the relay will refuse it. */
  readonly refused?: boolean;
  readonly id?: string;
  readonly code?: string;
}

/** One event of a stream as a page shows it. */
export interface ShownEvent {
  readonly id: string;
  readonly token: string;
}

/** What a page shows at one moment. */
export interface Shown {
  readonly savedOn: string;
  readonly pending: number;
  readonly behind: number;
  readonly connection: string;
  /** Codes of errors that a person would be told of: of the connection, the storage and each stream. */
  readonly errors: readonly string[];
  readonly documents: Readonly<Record<string, { readonly phase: string; readonly value: Shared | undefined; readonly heads: readonly string[]; readonly invalid: number }>>;
  /** The views: confirmed events, then pending ones. */
  readonly views: Readonly<Record<string, { readonly phase: string; readonly events: readonly (ShownEvent & { readonly pending: boolean })[] }>>;
  readonly rejections: readonly { readonly stream: string; readonly id: string; readonly code: string; readonly text: string }[];
}

/** What the driver calls in a page. */
export interface ChaosPage {
  /** Everything is open and was shown once. */
  readonly ready: boolean;
  shown(): Shown;
  /** A stream's confirmed events, read from the local log. */
  read(stream: string): Promise<readonly ShownEvent[]>;
  /** Writes no more by itself. */
  stop(): void;
  /** One more write to everything, as a person who goes on working. */
  writeOnce(): void;
  connect(): void;
  /** Sets this device's clock off by so many milliseconds, in all its pages and its engine. */
  shiftClock(ms: number): void;
}
