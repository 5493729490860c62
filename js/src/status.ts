/** What apps show of the connection, the storage, and each stream: plain data. */
import { toErrorInfo, type SyncErrorInfo } from "./errors.js";
import type { EngineConnection, EngineStatus } from "./engine/engine.js";

/** Where *everything* written so far is safe: `none` = some write is not on this device's disk yet. */
export type SavedOn = "none" | "device" | "relay";

/** What may be done with a stream now, as far as this device knows. */
export type Access = "write" | "read" | "none";

/** The connection. Only `needs-auth` and `stopped` want the app to do something. */
export type Connection =
  | { readonly state: "idle" } // nothing opened yet
  | { readonly state: "offline" } // the browser says there is no network, or `disconnect` was called
  | { readonly state: "connecting" }
  | { readonly state: "connected" }
  /** Goes on by itself, at `retryAt` (ms since 1970): for the relay to be reached, for another tab to let go of the local data, for the engine to start. */
  | { readonly state: "waiting"; readonly waitsFor: "relay" | "other-tab" | "engine"; readonly retryAt: number; readonly error: SyncErrorInfo }
  | { readonly state: "needs-auth"; readonly error: SyncErrorInfo } // call `connect` when there is a token
  | { readonly state: "stopped"; readonly error: SyncErrorInfo } // will not try again: `wrong-user`, `outdated-app` …
  | { readonly state: "closed" };

/** The local log's storage. */
export interface StorageStatus {
  /** `persistent`: kept until the user clears it. `best-effort`: the browser may delete it. `memory`: gone on reload. */
  readonly durability: "persistent" | "best-effort" | "memory";
  /** Bytes; null where the browser does not say. */
  readonly usedBytes: number | null;
  readonly quotaBytes: number | null;
  /** Less than a tenth, or less than 50 MB, is left: warn before writes fail. */
  readonly low: boolean;
  /** The last write could not be saved. */
  readonly error: SyncErrorInfo | null;
}

/** Everything a status badge needs, over all tabs of this browser profile. Plain data. */
export interface SyncStatus {
  readonly connection: Connection;
  readonly savedOn: SavedOn;
  /** Writes the relay has not answered; survives reload. */
  readonly pending: number;
  /** Length of `client.rejections`. */
  readonly rejected: number;
  /** Open streams that are not caught up. */
  readonly behind: number;
  readonly storage: StorageStatus;
  /** Another tab or device runs a newer build: ask the user to reload. */
  readonly outdated: boolean;
}

/** State of one document or stream on this device. Plain data. */
export interface StreamStatus {
  /** `idle`: not opened, or closed after its last user left. `failed`: see `error`; the handle stays usable. */
  readonly phase: "idle" | "loading" | "ready" | "failed";
  readonly error: SyncErrorInfo | null;
  /** Is there anything under this name? `unknown`: nothing here, and the relay has not been asked yet. */
  readonly exists: boolean | "unknown";
  /** Everything the relay had when last heard of is applied. */
  readonly caughtUp: boolean;
  /** 0 to 1 while a catch-up or a rebuild runs, else null. An estimate that never goes back. */
  readonly progress: number | null;
  readonly savedOn: SavedOn;
  /** Writes the relay has not answered. */
  readonly pending: number;
  /** Writes it refused, not yet retried or discarded. */
  readonly rejected: number;
  readonly access: Access;
  /** Holds events of a newer build: some views here are incomplete; ask the user to reload. */
  readonly outdated: boolean;
  /** Events that are none for this build's definition (its schema refuses them): skipped, as seen since opening. */
  readonly invalid: number;
}

const LOW_BYTES = 50 * 1024 * 1024;

/** Before the engine has said anything. Storage counts as lasting until it is known not to be: no false alarm at the start. */
export const IDLE_STATUS: SyncStatus = {
  connection: { state: "idle" },
  savedOn: "relay",
  pending: 0,
  rejected: 0,
  behind: 0,
  storage: { durability: "best-effort", usedBytes: null, quotaBytes: null, low: false, error: null },
  outdated: false,
};

/** A stream that nobody uses. */
export const IDLE_STREAM: StreamStatus = {
  phase: "idle",
  error: null,
  exists: "unknown",
  caughtUp: false,
  progress: null,
  savedOn: "relay",
  pending: 0,
  rejected: 0,
  access: "write",
  outdated: false,
  invalid: 0,
};

/** What this page adds to the engine's status. */
export interface PageShare {
  /** Writes made here that the engine has not committed: also changes still open, and those that could not be saved. */
  readonly unsaved: number;
  readonly outdated: boolean;
  /** Said instead of the engine's connection: the host waits, broke, or is gone. */
  readonly connection: Connection | null;
  /** False without a relay: then nothing gets further than this device. */
  readonly hasRelay: boolean;
}

/** The status that apps see. Parts that did not change since `before` keep their reference. */
export function toSyncStatus(engine: EngineStatus | null, page: PageShare, before: SyncStatus): SyncStatus {
  const storage = engine === null ? before.storage : toStorage(engine);
  const unsaved = (engine?.unsaved ?? 0) + page.unsaved;
  const pending = engine?.pending ?? before.pending;
  const onlyInMemory = storage.durability === "memory" && pending > 0;
  const next: SyncStatus = {
    connection: page.connection ?? (engine === null ? before.connection : toConnection(engine.connection)),
    savedOn: unsaved > 0 || onlyInMemory ? "none" : pending > 0 || !page.hasRelay ? "device" : "relay",
    pending,
    rejected: engine?.rejected ?? before.rejected,
    behind: engine?.behind ?? before.behind,
    storage,
    outdated: page.outdated,
  };
  return keepSame(before, next);
}

function toStorage({ storage }: EngineStatus): StorageStatus {
  const { durability, usedBytes, quotaBytes } = storage;
  const left = usedBytes === null || quotaBytes === null ? null : quotaBytes - usedBytes;
  const low = left !== null && quotaBytes !== null && (left < quotaBytes / 10 || left < LOW_BYTES);
  return { durability, usedBytes, quotaBytes, low, error: toErrorInfo(storage.error, null) };
}

function toConnection(connection: EngineConnection): Connection {
  if (!("error" in connection)) return { state: connection.state };
  const error = whyNot(connection);
  return connection.state === "waiting" ? { state: "waiting", waitsFor: "relay", retryAt: connection.retryAt, error } : { state: connection.state, error };
}

/** The close code for a page of an origin that the relay does not let in. */
const FOREIGN_ORIGIN = 4106;

type Lost = Extract<EngineConnection, { closed: unknown }>;

/** Why there is no connection, with all that is known about it. */
function whyNot({ state, error, closed }: Lost): SyncErrorInfo {
  const info = toErrorInfo(error, null)!;
  if (state === "stopped" && closed?.code === FOREIGN_ORIGIN) {
    const origin = typeof location === "undefined" ? "<origin>" : location.origin;
    return { ...info, code: "access-denied", message: `the relay does not let pages of ${origin} in: start it with --origin ${origin}` };
  }
  if (closed === null) return info;
  return { ...info, message: `${info.message} (close code ${closed.code}${closed.reason === "" ? "" : `: ${closed.reason}`})` };
}

/** A line for the log about a try to connect that failed, or a connection that ended; null if that was told before. `failures`: tries in a row. */
export function lostConnection(before: EngineConnection | undefined, now: EngineConnection, failures: number): string | null {
  if (!isLost(now) || (before?.state === now.state && retryAt(before) === retryAt(now))) return null;
  const next = now.state === "waiting" ? `; ${failures} in a row, the next try is in ${(Math.max(0, now.retryAt - Date.now()) / 1000).toFixed(1)} s` : "";
  return `not connected: ${whyNot(now).message}${next}`;
}

function isLost(connection: EngineConnection): connection is Lost {
  return "closed" in connection;
}

function retryAt(connection: EngineConnection): number | null {
  return connection.state === "waiting" ? connection.retryAt : null;
}

/** `next`, with every part that says the same as in `before` taken from `before`: fit for `Object.is`. Plain data only. */
export function keepSame<T>(before: T, next: T): T {
  if (Object.is(before, next)) return before;
  if (typeof before !== "object" || typeof next !== "object" || before === null || next === null) return next;
  const [old, now] = [before as Record<string, unknown>, next as Record<string, unknown>];
  let same = Object.keys(old).length === Object.keys(now).length;
  const merged: Record<string, unknown> = {};
  for (const key of Object.keys(now)) {
    merged[key] = keepSame(old[key], now[key]);
    same &&= Object.is(merged[key], old[key]);
  }
  return same ? before : (merged as T);
}
