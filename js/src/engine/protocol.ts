/**
 * What pages and their host say to each other, through a `MessagePort`.
 *
 * A page begins with `hello`; the host answers `welcome`, or `refused` when it speaks another version: two builds of an
 * app may meet in one SharedWorker, and a page must not guess; or `gone`. Nothing else is said before. Messages keep their order
 * in both directions, so a page that sees its own `appended` has seen all that was committed before it.
 */
import type { EngineApplied, EngineEvent, EngineHint, EngineLocalStream, EngineLogPage, EngineLogEvent, EngineOptions, EngineRejection, EventKind } from "./engine.js";

/** Raised whenever a message changes its meaning or a new one must be understood. */
export const PROTOCOL_VERSION = 4;

/** How many bytes of `applied` a page may have unconfirmed before the host only tells it to read. */
export const PAGE_WINDOW_BYTES = 1024 * 1024;

/**
 * The name of the lock that one engine holds. The relay is no part of it: the local data is that of (origin, database,
 * user), and with two addresses of a relay, as when an app is moved to another one, it must still have one writer.
 */
export function engineLockName({ database, user }: EngineOptions): string {
  return nameOf([database, user ?? ""]);
}

/** The name of an engine's host, of which there is one per (origin, database, user, relay). */
export function hostName({ database, user, url }: EngineOptions): string {
  return nameOf([database, user ?? "", url ?? ""]);
}

function nameOf(parts: readonly string[]): string {
  return `tidelog:${parts.map(encodeURIComponent).join(":")}`;
}

/** The name of the lock a page holds while it lives; the host waits for it to notice a page that vanished. */
export function pageLockName(page: string): string {
  return `tidelog-page:${page}`;
}

/** The name of the lock a host holds while it lives: a page waits for it to notice that its host's process is gone. */
export function hostLockName(host: string): string {
  return `tidelog-host:${host}`;
}

/** The calls that are answered, with what they take and give. */
export interface HostCalls {
  read: { args: readonly [stream: string, after: number, maxBytes: number]; result: EngineLogPage };
  pending: { args: readonly [stream: string]; result: readonly EngineLogEvent[] };
  rejections: { args: readonly []; result: readonly EngineRejection[] };
  dropRejection: { args: readonly [id: string, stream: string]; result: void };
  /** The Automerge actor that this page alone may write under, 32 hex; null where there are no locks to see to that. */
  actor: { args: readonly []; result: string | null };
  streams: { args: readonly [prefix: string]; result: readonly EngineLocalStream[] };
  requestPersistence: { args: readonly []; result: boolean };
  deleteLocalData: { args: readonly []; result: void };
}

/** Page to host. */
export type PageMessage =
  | {
      readonly type: "hello";
      readonly protocol: number;
      /** Random, and the name of the lock that this page holds. */
      readonly page: string;
      /** False where the page has no Web Locks: the host then relies on `bye`. */
      readonly locked: boolean;
      /** It was told `gone`, and comes again. */
      readonly again: boolean;
      readonly engine: EngineOptions;
      /** Where the engine's WASM file is, or null: beside the host's script. */
      readonly wasm: string | null;
      /** Whether it can be asked for a token. */
      readonly hasToken: boolean;
      /** Somebody went offline on purpose in an earlier life of the engine. */
      readonly offline: boolean;
    }
  | { readonly type: "open"; readonly stream: string }
  | { readonly type: "close"; readonly stream: string }
  /** `write` is the page's number, told back in `appended` or `failed`. */
  | { readonly type: "append"; readonly write: number; readonly stream: string; readonly kind: EventKind; readonly time: number; readonly payload: Uint8Array; readonly dependent: boolean }
  /** The page has worked off that many bytes of `applied`. */
  | { readonly type: "confirm"; readonly bytes: number }
  | { readonly type: "refresh"; readonly stream: string }
  /** An own event that can have no effect. */
  | { readonly type: "reject"; readonly id: string; readonly stream: string; readonly kind: EventKind; readonly time: number; readonly payload: Uint8Array; readonly code: string }
  | { readonly type: "connect" }
  | { readonly type: "disconnect" }
  | { readonly type: "hint"; readonly what: EngineHint }
  | { readonly type: "token"; readonly request: number; readonly token: string | null }
  | { readonly type: "call"; readonly request: number; readonly method: keyof HostCalls; readonly args: readonly unknown[] }
  | { readonly type: "bye" };

/** An engine event as a page sees it: `applied` carries its weight in bytes, which the page confirms. */
export type PageEvent = Exclude<EngineEvent, EngineApplied | { type: "needs-token" }> | (EngineApplied & { readonly bytes: number });

/** Host to page. */
export type HostMessage =
  | { readonly type: "welcome"; readonly protocol: number }
  /** The host holds the lock of this name from now on until its process ends, of which nothing else would tell. */
  | { readonly type: "alive"; readonly host: string }
  /** Not by this host: the page dials again, as the next one is reached in the same way. It closes the port after this. */
  | { readonly type: "gone" }
  /** The host speaks another version; it closes the port after this. */
  | { readonly type: "refused"; readonly protocol: number }
  /** Another host holds the engine's lock: everything waits until it ends. */
  | { readonly type: "waiting" }
  /** The engine runs. */
  | { readonly type: "running" }
  /** The engine could not start, or broke. `final`: the host does not try again. */
  | { readonly type: "broken"; readonly code: string; readonly message: string; readonly final: boolean }
  | { readonly type: "event"; readonly event: PageEvent }
  /** The stream's log grew and the page's window is full: it reads from its own position. */
  | { readonly type: "grown"; readonly stream: string; readonly epoch: string; readonly upto: number }
  | { readonly type: "token"; readonly request: number; readonly refused: boolean }
  | { readonly type: "answer"; readonly request: number; readonly value: unknown }
  | { readonly type: "failure"; readonly request: number; readonly code: string; readonly message: string }
  /** The local data was deleted, by this page or another one. */
  | { readonly type: "closed" };
