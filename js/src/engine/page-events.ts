/** What the browser tells a page, passed on to the engine as hints. */
import type { EngineHint } from "./engine.js";

/** Tells `onHint` what happens to this page until called back. `onHide`: the last moment in which a page surely runs. */
export function listenToPage(onHint: (what: EngineHint) => void, onHide: () => void): () => void {
  if (typeof window === "undefined" || typeof document === "undefined") return () => undefined;
  const ending = new AbortController();
  const options = { signal: ending.signal };
  window.addEventListener("online", () => onHint("online"), options);
  window.addEventListener("offline", () => onHint("offline"), options);
  document.addEventListener("visibilitychange", () => onHint(document.visibilityState === "visible" ? "visible" : "hidden"), options);
  document.addEventListener("freeze", () => onHint("freeze"), options);
  document.addEventListener("resume", () => onHint("resume"), options);
  window.addEventListener("pagehide", onHide, options);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") onHide(); // phones may end a hidden page without another word
  }, options);
  if (!navigator.onLine) onHint("offline");
  if (document.visibilityState === "hidden") onHint("hidden");
  return () => ending.abort();
}

/**
 * Asks the browser to keep this origin's data: only a page may ask, so the engine in its worker cannot. `once`: not again
 * on this device if it was asked before, since some browsers bother the user each time.
 */
export async function askForPersistence(once: boolean): Promise<boolean> {
  const storage = typeof navigator === "undefined" ? undefined : navigator.storage;
  if (storage?.persist === undefined) return false;
  if (await storage.persisted()) return true;
  const asked = "tidelog:persistence-asked";
  if (once && localStorage.getItem(asked) !== null) return false;
  if (once) localStorage.setItem(asked, "1");
  return storage.persist();
}
