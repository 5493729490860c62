/** Everything Tidelog throws or rejects with, and the same as plain data for status snapshots. */

/** Stable codes: they never change, messages may. */
export type SyncErrorCode =
  | "rejected" // the relay refused this write: see `rejection`
  | "access-denied" // the token may not read, or may not write, this stream
  | "access-revoked" // access that was there has been withdrawn
  | "needs-auth" // token missing, expired or refused
  | "wrong-user" // the token's subject is not the `user` of this client
  | "storage-full" // the browser's quota is used up; the write was not saved
  | "storage-unavailable" // no durable storage; the client works in memory
  | "storage-lost" // the browser deleted the local data while it was in use
  | "history-cut" // that offset or moment is no longer kept
  | "not-on-device" // needs the relay, and there is no connection
  | "log-replaced" // the offset belongs to another log than the one that is there now
  | "not-ready" // used before `ready`
  | "closed" // the client, or its local data, is gone
  | "invalid-name" // not a stream name
  | "invalid-value" // a value that a document or event cannot hold, or that its schema refuses
  | "too-large" // over the relay's limit for one event
  | "wrong-kind" // a document opened as a stream, or the reverse
  | "outdated-app" // this build is too old for the relay, the local data, or the host in another tab
  | "engine-failed"; // WASM or worker could not start, or broke

/** Whether Tidelog tries again by itself. One entry a code, so that a new code does not compile without its answer. */
const RETRYABLE: Record<SyncErrorCode, boolean> = {
  rejected: false,
  "access-denied": false,
  "access-revoked": false,
  "needs-auth": false,
  "wrong-user": false,
  "storage-full": false,
  "storage-unavailable": false,
  "storage-lost": false,
  "history-cut": false,
  "not-on-device": false,
  "log-replaced": false,
  "not-ready": false,
  closed: false,
  "invalid-name": false,
  "invalid-value": false,
  "too-large": false,
  "wrong-kind": false,
  "outdated-app": false,
  "engine-failed": true,
};

/** An error as plain data: what status snapshots carry. */
export interface SyncErrorInfo {
  readonly code: SyncErrorCode;
  /** In English, for developers. Never holds document content or tokens. */
  readonly message: string;
  /** True when Tidelog tries again by itself; the app need not. */
  readonly retryable: boolean;
  /** The stream concerned, if one is. */
  readonly stream: string | null;
}

/** Every error that Tidelog throws or rejects with. */
export class SyncError extends Error implements SyncErrorInfo {
  override readonly name = "SyncError";
  readonly code: SyncErrorCode;
  readonly retryable: boolean;
  readonly stream: string | null;
  /** Set when `code` is `"rejected"`: the relay's (or your validator's) own code and reason. */
  readonly rejection: { readonly code: string; readonly reason: string } | null;

  constructor(
    code: SyncErrorCode,
    message: string,
    about: { readonly stream?: string | null; readonly rejection?: { readonly code: string; readonly reason: string } } = {},
  ) {
    super(message);
    this.code = code;
    this.retryable = RETRYABLE[code];
    this.stream = about.stream ?? null;
    this.rejection = about.rejection ?? null;
  }

  /** Plain data for logs and Redux. */
  toJSON(): SyncErrorInfo {
    return { code: this.code, message: this.message, retryable: this.retryable, stream: this.stream };
  }
}

/** True for a code of {@link SyncErrorCode}: what crosses a message port or the WASM boundary is checked, not believed. */
export function isSyncErrorCode(code: string): code is SyncErrorCode {
  return Object.hasOwn(RETRYABLE, code);
}

/** A code from outside; one that this build does not know means that something is broken, so it is `engine-failed`. */
export function toSyncErrorCode(code: string): SyncErrorCode {
  return isSyncErrorCode(code) ? code : "engine-failed";
}

/** The plain form of an error that the engine reported, for a status snapshot. */
export function toErrorInfo(
  error: { readonly code: string; readonly message: string; readonly retryable: boolean } | null,
  stream: string | null,
): SyncErrorInfo | null {
  if (error === null) return null;
  return { code: toSyncErrorCode(error.code), message: error.message, retryable: error.retryable, stream };
}

/** A `SyncError` of whatever was thrown or came out of the WASM boundary as `{ code, message }`. */
export function toSyncError(cause: unknown, stream: string | null = null): SyncError {
  if (cause instanceof SyncError) return cause;
  const { code, message } = (typeof cause === "object" && cause !== null ? cause : {}) as { code?: unknown; message?: unknown };
  const text = typeof message === "string" ? message : String(cause);
  return new SyncError(typeof code === "string" ? toSyncErrorCode(code) : "engine-failed", text, { stream });
}
