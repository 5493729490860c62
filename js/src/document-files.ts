/**
 * Automerge files from outside. Automerge breaks on some that no Automerge has written, and then all that is in memory beside
 * them with it; so each is read in a worker of its own, which comes to an end whatever the file does.
 */
import { DocumentError } from "./document/values.js";

/** A file that takes longer than this, in ms, is given up: it was made to. */
const READ_MS_MAX = 60_000;

/** The changes of a file, each as the payload of an event. Rejects with `invalid-value`. */
export function changesOfFile(file: Uint8Array, asset: string | null): Promise<readonly Uint8Array[]> {
  return new Promise((resolve, reject) => {
    // Bundlers find the worker by this very expression, so it stands here whole.
    const worker = new Worker(new URL("./document/file-worker.js", import.meta.url), { type: "module" });
    const timer = setTimeout(() => end(null), READ_MS_MAX);
    const end = (changes: readonly Uint8Array[] | null): void => {
      clearTimeout(timer);
      worker.terminate();
      if (changes === null) reject(unreadable());
      else resolve(changes);
    };
    worker.onerror = () => end(null);
    worker.onmessage = ({ data }: MessageEvent<readonly Uint8Array[] | null>) => end(data);
    worker.postMessage({ file, asset });
  });
}

/** What is said of a file that cannot be read, whatever the reason. */
export function unreadable(): DocumentError {
  return new DocumentError("invalid-value", "this is no Automerge file, or one that is too large to open");
}
