/** The document module: Automerge in WebAssembly. What crosses the border are plain arrays. */
import init, { Document } from "../wasm/document/document.js";
import type { SkipReason } from "./types.js";
import { DocumentError, type DocumentErrorCode } from "./values.js";

/** An object's id, or the number of an object that the same operations make. */
export type Target = string | number;

export type Key = string | number;

/** How a value is stored: 0 null, 1 boolean, 2 whole number, 3 other number, 4 date, 5 bytes, 6 counter, 7 immutable string, 8 text, 9 map, 10 list. */
export type Kind = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;

/** A recorded operation: 0 put, 1 insert, 2 delete, 3 increment, 4 splice of a text, 5 update of a text. */
export type Operation =
  | readonly [0, target: Target, key: Key, kind: Kind, content: unknown]
  | readonly [1, target: Target, index: number, kind: Kind, content: unknown]
  | readonly [2, target: Target, key: Key, count: number]
  | readonly [3, target: Target, key: Key, by: number]
  | readonly [4, target: Target, index: number, deleteCount: number, insert: string]
  | readonly [5, target: Target, text: string];

/** What a snapshot does not show of a value: that it is a counter (6) or an immutable string (7). */
export type HiddenKind = 6 | 7 | undefined;

/** A patch; `object` is the id of the map, list or text in which it happened. Actions as in `snapshot.ts`. */
export type RawPatch = readonly [action: number, path: Key[], content: unknown, object: string, kinds: HiddenKind[]];

export type RawCommitted = readonly [hash: string, bytes: Uint8Array];
export type RawCommit = readonly [hash: string, bytes: Uint8Array, first: RawCommitted[]];
export type RawDropped = readonly [hash: string, patches: RawPatch[]];
export type RawSkipped = readonly [index: number, reason: SkipReason, hash: string | null];
export type RawApplied = readonly [
  patches: RawPatch[], skipped: RawSkipped[], displaced: RawDropped[], replayed: number, waiting: number, rebuilt: number,
];

/** An object's id and type. */
export type RawObject = readonly [id: string, type: "map" | "list" | "text" | "table"];

/** One document in the module. All of it may throw an error with a `code`. */
export interface WasmDocument {
  opened(): RawApplied;
  value(): unknown;
  valueAt(heads: readonly string[]): unknown;
  record(operations: readonly Operation[], timeSeconds: number, message: string | undefined): RawPatch[];
  commit(timeSeconds: number, message: string | undefined): RawCommit | undefined;
  changeAt(
    heads: readonly string[], operations: readonly Operation[], timeSeconds: number, message: string | undefined,
  ): readonly [RawCommit, RawPatch[]] | undefined;
  apply(payloads: readonly Uint8Array[]): RawApplied;
  without(hashes: readonly string[]): readonly [RawPatch[], RawDropped[]];
  takeActor(actor: Uint8Array): boolean;
  logReplaced(): void;
  heads(): string[];
  diff(from: readonly string[], to: readonly string[]): RawPatch[];
  changes(): (readonly [hash: string, actor: string, timeSeconds: number, message: string | null])[];
  child(object: string, key: Key, heads: readonly string[] | undefined): RawObject | undefined;
  kind(object: string, key: Key, heads: readonly string[] | undefined): HiddenKind;
  find(path: readonly Key[]): RawObject | undefined;
  text(object: string): string | undefined;
  cursorAt(object: string, index: number): string;
  indexOf(object: string, cursor: string): number | undefined;
  conflicts(path: readonly Key[]): (readonly [value: unknown, actor: string, winner: boolean])[];
  exportFile(): Uint8Array;
  import(changes: readonly Uint8Array[]): readonly [RawApplied, RawCommitted[]];
  free(): void;
}

/** The module's class. */
export interface WasmDocumentClass {
  new (
    actor: Uint8Array, defaults: readonly (readonly [string, unknown])[], payloads: readonly Uint8Array[], pending: number,
  ): WasmDocument;
  /** May break the module on a file from outside. */
  changesOf(file: Uint8Array): Uint8Array[];
  editsOf(payload: Uint8Array, payloads: readonly Uint8Array[]): RawPatch[];
  inspect(payload: Uint8Array): readonly [hash: string, actor: string, isFirst: boolean] | undefined;
}

/** The loaded module. */
export interface DocumentModule {
  readonly Document: WasmDocumentClass;
}

let loading: Promise<DocumentModule> | undefined;

/** Loads the module, once: later calls get the same. `source`: another address of the WASM file, or its bytes. After a failure the next call tries again. */
export function loadDocumentModule(source?: URL | string | BufferSource): Promise<DocumentModule> {
  // Bundlers find the file by this very expression, so it stands here whole.
  loading ??= init({ module_or_path: source ?? new URL("../wasm/document/document_bg.wasm", import.meta.url) }).then(
    () => ({ Document }),
    (cause: unknown) => {
      loading = undefined;
      throw new DocumentError("engine-failed", `the document module could not be loaded: ${String(cause)}`);
    },
  );
  return loading;
}

const CODES: readonly string[] = ["invalid-value", "too-large", "history-cut", "engine-failed"] satisfies DocumentErrorCode[];

/** Runs a call of the module; its errors, and a module that broke, come out as `DocumentError`. */
export function guarded<R>(call: () => R): R {
  try {
    return call();
  } catch (cause) {
    const { code, message } = cause as { code?: unknown; message?: unknown };
    const known = typeof code === "string" && CODES.includes(code) ? (code as DocumentErrorCode) : "engine-failed";
    throw new DocumentError(known, String(message ?? cause));
  }
}
