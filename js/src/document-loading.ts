/** Loads the document layer when the first document opens: an app of streams alone never pays for it. */
import { changesOfFile } from "./document-files.js";
import type { DocumentState } from "./document/index.js";
import type { OpenOptions, Patch } from "./document/types.js";

/** The loaded layer. */
export interface DocumentLayer {
  /** Opens a document under a fresh random actor. Throws `engine-failed`. */
  open<T extends object>(options: Omit<OpenOptions, "actor">): DocumentState<T>;
  /** The changes of an Automerge file, read where it can do no harm. Rejects with `invalid-value`. */
  changesOf(file: Uint8Array): Promise<readonly Uint8Array[]>;
  /** The edits of a change that is in no document. Throws `engine-failed` if `payloads` lack what it was made on top of. */
  editsOf(payload: Uint8Array, payloads: readonly Uint8Array[]): readonly Patch[];
}

const loaded = new Map<string | null, Promise<DocumentLayer>>();

/** `asset`: another address of the WASM file, from `ClientOptions.assets`. Rejects if it cannot be loaded; the next call tries again. */
export function loadDocuments(asset: string | null): Promise<DocumentLayer> {
  const known = loaded.get(asset);
  if (known !== undefined) return known;
  const loading = load(asset);
  loaded.set(asset, loading);
  loading.catch(() => loaded.delete(asset));
  return loading;
}

async function load(asset: string | null): Promise<DocumentLayer> {
  const documents = await import("./document/index.js");
  const module = await documents.loadDocumentModule(asset ?? undefined);
  return {
    open: (options) => documents.DocumentState.open(module, { ...options, actor: crypto.getRandomValues(new Uint8Array(16)) }),
    // Without workers (in tests) there is no other place than here.
    changesOf: (file) => (typeof Worker === "undefined" ? documents.changesOf(module, file) : changesOfFile(file, asset)),
    editsOf: (payload, payloads) => documents.DocumentState.editsOf(module, payload, payloads),
  };
}
