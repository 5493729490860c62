/** The script of a worker that reads one Automerge file and ends. */
import { loadDocumentModule } from "./module.js";

/** What the worker is asked. `asset`: another address of the WASM file. */
export interface FileQuestion {
  readonly file: Uint8Array;
  readonly asset: string | null;
}

addEventListener("message", ({ data }: MessageEvent<FileQuestion>) => {
  const answer = (changes: readonly Uint8Array[] | null): void => (globalThis as unknown as { postMessage(message: unknown): void }).postMessage(changes);
  loadDocumentModule(data.asset ?? undefined).then(({ Document }) => answer(Document.changesOf(data.file))).catch(() => answer(null));
});
