/**
 * `tidelog`: the client, documents, streams and views.
 *
 * Kinds of things are *defined* once at module level (pure, no side effect, importable anywhere) and *opened* by name on a
 * client. Everything that can be watched is a {@link Store}; every write gives a {@link WriteHandle}.
 */
export { createClient, type Client, type ClientOptions } from "./client.js";
export {
  defineDocument, defineStream, defineView, event,
  type AppEvent, type DocumentDefinition, type DocumentOptions, type EventType, type InferDocument, type InferEvent, type InferView,
  type RetiredEvent, type StreamDefinition, type ViewDefinition,
} from "./definitions.js";
export type { TextHandle } from "./document-text.js";
export type { ChangeOptions, Conflict, DocumentChange, DocumentHandle, DocumentHistory, Origin } from "./document-types.js";
export type { DocumentShape, Heads, Patch, Path, Snapshot, TextPath, TextSplice } from "./document/types.js";
export { splice, updateText } from "./document/draft.js";
export { Counter, ImmutableString } from "./document/values.js";
export { SyncError, type SyncErrorCode, type SyncErrorInfo } from "./errors.js";
export type { Handle } from "./handle.js";
export type { LocalStream } from "./local-streams.js";
export type { EventId, Offset } from "./offset.js";
export type { ChangeRejection, EventRejection, Rejection, RejectionInfo } from "./rejections.js";
export type { SchemaOutput, StandardSchema } from "./schema.js";
export type { Access, Connection, SavedOn, StorageStatus, StreamStatus, SyncStatus } from "./status.js";
export type { Store, Unsubscribe } from "./store.js";
export type { EventInfo, Logged } from "./stream/events.js";
export type { ReadOptions, StreamHandle } from "./stream/stream-handle.js";
export type { ViewHandle } from "./stream/view.js";
export type { WriteHandle, WriteState } from "./write.js";
