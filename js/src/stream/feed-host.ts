/** What a feed needs of its session. */
import type { EventKind } from "../engine/engine.js";
import type { HostCalls, PageMessage } from "../engine/protocol.js";
import type { SyncErrorInfo } from "../errors.js";
import type { Write } from "../write.js";
import type { Feed } from "./feed.js";

/** How near the relay is: its answers are on their way, they may be in a moment, or nobody knows when. */
export type Reach = "connected" | "connecting" | "none";

/** A feed's way to the engine, and what it must know of the rest of the page. */
export interface FeedHost {
  /** False: this device only, so there is nobody to wait for. */
  readonly hasRelay: boolean;
  readonly reach: Reach;
  /** Nothing here outlives the page: no write counts as saved on the device. */
  readonly inMemory: boolean;
  /** The host does not run (it waits, or broke and tries again): shown with every stream that is loading. */
  readonly trouble: SyncErrorInfo | null;
  say(message: PageMessage): void;
  call<M extends keyof HostCalls>(method: M, ...args: HostCalls[M]["args"]): Promise<HostCalls[M]["result"]>;
  /** Sends a write to the engine and follows its fate. */
  append(feed: Feed, write: Write, kind: EventKind, time: number, payload: Uint8Array, dependent: boolean): void;
  /** The fate of an event that another page wrote, or this one before it was loaded. */
  writeOf(feed: Feed, id: string): Write;
  /** A write of this page was seen in the log. */
  seen(stream: string, epoch: string, id: string, offset: number, check: string): void;
  /** The feed stays in memory from here on, whoever forgets it. */
  opened(feed: Feed): void;
  /** The feed may go with its last handle. */
  closed(feed: Feed): void;
  countUnsaved(by: number): void;
  reportOutdated(): void;
}
