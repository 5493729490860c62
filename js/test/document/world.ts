/** What the document tests share. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { DocumentState, loadDocumentModule, type Committed, type OpenOptions } from "../../src/document/index.js";

const wasm = fileURLToPath(new URL("../../wasm/document/document_bg.wasm", import.meta.url));

/** The real module: `cargo xtask wasm` makes it. */
export const module = await loadDocumentModule(readFileSync(wasm));

/** Opens a document under an actor of 16 times this byte. */
export function open<T extends object>(actor: number, options: Omit<OpenOptions, "actor"> = {}): DocumentState<T> {
  return DocumentState.open<T>(module, { actor: new Uint8Array(16).fill(actor), ...options });
}

/** Commits, and gives the payloads in the order in which they would be written. */
export function written<T extends object>(document: DocumentState<T>, time = 1_700_000_000_000, message?: string): Uint8Array[] {
  const commit = document.commit(message === undefined ? { time } : { time, message });
  return commit === null ? [] : [...commit.first, commit].map(({ bytes }: Committed) => bytes);
}

/** One edit and its payloads. */
export function edited<T extends object>(document: DocumentState<T>, edit: (draft: T) => void): Uint8Array[] {
  document.change(edit);
  return written(document);
}
