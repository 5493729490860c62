/**
 * The engine as its host sees it: the TypeScript mirror of what `client-wasm/engine` exports.
 *
 * One engine serves one (origin, database, user, relay) and lives in the host, never in a page. Every method returns
 * at once unless it returns a promise; what happens is told to the listener, in the order in which it was committed.
 * Offsets are plain numbers here; the package makes opaque strings of them (`offset.ts`).
 */

/** What an engine is for. `url: null`: this device only; `user: null`: anonymous. */
export interface EngineOptions {
  readonly url: string | null;
  readonly database: string;
  readonly user: string | null;
}

/** 1 application event (JSON of `{ type, payload }`), 2 one Automerge change, 3 a whole Automerge document. */
export type EventKind = 1 | 2 | 3;

/** An error as the engine reports it. */
export interface EngineError {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

/** One event of a stream's local log, or of this device's outbox. */
export interface EngineLogEvent {
  /** `<producer, 32 hex>:<sequence>`. */
  readonly id: string;
  /** Null while it has not been seen in the relay's log. */
  readonly offset: number | null;
  readonly kind: EventKind;
  /** Milliseconds since 1970 by the author's clock. */
  readonly time: number;
  readonly author: string | null;
  readonly payload: Uint8Array;
  /** Stream name to the place the author had applied there. */
  readonly causes: Readonly<Record<string, { readonly epoch: string; readonly offset: number }>>;
  /** Where an own open event stands; absent in the log. */
  readonly state?: "unsent" | "sent" | "accepted" | "owed";
  /** The log's check at `offset`, 32 hex; absent while there is no offset. */
  readonly check?: string;
}

/** A page of the committed local log: everything behind `after` up to and including `upto`. */
export interface EngineLogPage {
  readonly epoch: string;
  readonly after: number;
  readonly upto: number;
  /** The log's check at `upto`. */
  readonly check: string;
  readonly more: boolean;
  readonly events: readonly EngineLogEvent[];
  /** What stands for the log up to `after`, where the local log begins with a snapshot and was read from the start. */
  readonly snapshot?: Uint8Array;
}

/** A stream of which this device has something. */
export interface EngineLocalStream {
  readonly name: string;
  readonly kind: "document" | "stream";
  /** What its log takes here, about. */
  readonly usedBytes: number;
  readonly pending: number;
}

/** A refused event, kept until it is dropped. */
export interface EngineRejection {
  readonly id: string;
  readonly stream: string;
  readonly kind: EventKind;
  readonly code: string;
  readonly reason: string;
  /** When it was written: this device's clock, milliseconds since 1970. */
  readonly time: number;
  readonly payload: Uint8Array;
}

/** How the last socket ended, as the browser tells it: 1006 and nothing if it was never open, or broke. Null: the device hung up. */
export type EngineClosed = { readonly code: number; readonly reason: string } | null;

/** The connection, as the engine tells it. */
export type EngineConnection =
  | { readonly state: "idle" | "offline" | "connecting" | "connected" | "closed" }
  | { readonly state: "waiting"; readonly retryAt: number; readonly error: EngineError; readonly closed: EngineClosed }
  | { readonly state: "needs-auth" | "stopped"; readonly error: EngineError; readonly closed: EngineClosed };

/** The whole of one stream's state on this device; told whenever a part of it changes. */
export interface EngineStreamState {
  readonly type: "stream";
  readonly stream: string;
  readonly phase: "loading" | "ready" | "failed";
  readonly exists: boolean | "unknown";
  readonly caughtUp: boolean;
  readonly epoch: string;
  readonly cursor: number;
  /** The relay's head when last heard of on this connection. A number: what the relay has of this device agrees with what is here. */
  readonly head: number | null;
  /** How often the relay has said how the stream stands there: one more after each refresh. */
  readonly answers: number;
  readonly pending: number;
  readonly rejected: number;
  readonly access: "write" | "read" | "none";
  readonly savedOn: "none" | "device" | "relay";
  readonly error: EngineError | null;
}

/** The whole of the device's state; told whenever a part of it changes. */
export interface EngineStatus {
  readonly type: "status";
  readonly connection: EngineConnection;
  readonly pending: number;
  readonly rejected: number;
  /** Followed streams that are not caught up. */
  readonly behind: number;
  /** Events handed to `append` and not yet committed. */
  readonly unsaved: number;
  readonly storage: {
    readonly durability: "persistent" | "best-effort" | "memory";
    readonly usedBytes: number | null;
    readonly quotaBytes: number | null;
    readonly error: EngineError | null;
  };
}

/** A batch committed together with the cursor: everything behind `after` up to and including `upto`. */
export interface EngineApplied {
  readonly type: "applied";
  readonly stream: string;
  readonly epoch: string;
  readonly after: number;
  readonly upto: number;
  readonly check: string;
  readonly events: readonly EngineLogEvent[];
}

/** Everything an engine tells its host. */
export type EngineEvent =
  /** Committed in the local log: saved on this device. `write` is the host's number, null for another host's. */
  | { readonly type: "appended"; readonly stream: string; readonly write: number | null; readonly event: EngineLogEvent }
  /** Not saved, and forgotten by the engine. */
  | { readonly type: "failed"; readonly stream: string; readonly write: number; readonly code: string; readonly message: string }
  | EngineApplied
  | { readonly type: "accepted"; readonly stream: string; readonly ids: readonly string[] }
  | { readonly type: "rejected"; readonly stream: string; readonly rejections: readonly EngineRejection[] }
  /** An id was given up, since a copy of this profile uses it too; and back, if it was this device's own event that entered the log under it. */
  | { readonly type: "renamed"; readonly stream: string; readonly from: string; readonly to: string }
  /** The stream has another log now: its readers start again from the beginning. */
  | { readonly type: "reset"; readonly stream: string; readonly epoch: string }
  | EngineStreamState
  | EngineStatus
  /** The host asks a page for a token and answers with `authenticate`. */
  | { readonly type: "needs-token"; readonly refused: boolean }
  | { readonly type: "log"; readonly level: "info" | "warn" | "error"; readonly message: string };

/** What the browser told a page, passed on as a hint; the engine decides what it is worth. */
export type EngineHint = "online" | "offline" | "visible" | "hidden" | "freeze" | "resume";

/** A running engine. */
export interface Engine {
  /** Follows a stream; harmless when it is followed already. */
  open(stream: string): void;
  /** Stops following; the local log stays. */
  close(stream: string): void;
  /**
   * Adds an event to the local log. `write` comes back in `appended` or `failed`. `dependent`: it was made on top of an
   * own event that has not been seen in the log yet.
   */
  append(write: number, stream: string, kind: EventKind, time: number, payload: Uint8Array, dependent: boolean): void;
  /** A page of the committed local log behind `after` (0: from the start), at least one event if there is one. */
  read(stream: string, after: number, maxBytes: number): Promise<EngineLogPage>;
  /** Own open events in order; their offsets are null. */
  pending(stream: string): Promise<readonly EngineLogEvent[]>;
  rejections(): Promise<readonly EngineRejection[]>;
  /** Forgets a stream's rejection; retry and discard both end with this. */
  dropRejection(id: string, stream: string): Promise<void>;
  /**
   * Lists an own event that can have no effect; the same one only once. `profile-copied`: a copy of this profile used its
   * Automerge actor. `too-large`: it was not saved, and its id is a new one.
   */
  reject(id: string, stream: string, kind: EventKind, time: number, payload: Uint8Array, code: string): void;
  /** The Automerge actor of the `number`th page, 32 hex: the same one until this device has another producer id. */
  actor(number: number): string;
  /** Asks the relay again for the stream's head. */
  refresh(stream: string): void;
  connect(): void;
  disconnect(): void;
  /** The answer to `needs-token`; null: signed out. */
  authenticate(token: string | null): void;
  hint(what: EngineHint): void;
  requestPersistence(): Promise<boolean>;
  streams(prefix: string): Promise<readonly EngineLocalStream[]>;
  deleteLocalData(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Starts an engine: opens the local data and loads the device. Rejects with `{ code, message }`. `token`: there is a page
 * that can be asked for one, so no connection is tried without.
 */
export type StartEngine = (options: EngineOptions & { readonly token: boolean }, listener: (event: EngineEvent) => void) => Promise<Engine>;
