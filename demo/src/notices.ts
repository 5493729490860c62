/** What of the status a person must know beyond the badge. */
import type { SyncStatus } from "tidelog";
import { explain } from "./words.js";

/** One strip at the top of the page. */
export interface Notice {
  readonly key: string;
  readonly tone: "error" | "warning";
  readonly text: string;
  /** Reloading helps. */
  readonly reload: boolean;
}

/** The worst first; at most one about the storage and one about this page's version or engine, unless both say the same. */
export function noticesOf(status: SyncStatus): readonly Notice[] {
  const [engine, storage] = [engineNotice(status), storageNotice(status)];
  return [engine, storage?.key === engine?.key ? null : storage].filter((notice) => notice !== null);
}

function engineNotice({ connection, outdated }: SyncStatus): Notice | null {
  if (connection.state === "stopped" || connection.state === "closed") {
    const code = connection.state === "closed" ? "closed" : connection.error.code;
    return { key: code, tone: "error", text: explain({ code }), reload: code !== "wrong-user" };
  }
  if (outdated) return { key: "outdated-app", tone: "warning", text: explain({ code: "outdated-app" }), reload: true };
  if (connection.state !== "waiting" || connection.waitsFor === "relay") return null;
  const text = connection.waitsFor === "other-tab"
    ? "Your notes are held by this page in another tab. Close that tab, or reload it, and they open here."
    : "The part that keeps your notes did not start. It is being tried again.";
  return { key: connection.waitsFor, tone: "warning", text, reload: false };
}

function storageNotice({ storage }: SyncStatus): Notice | null {
  const { error, durability, low } = storage;
  if (error !== null && error.code !== "storage-unavailable") {
    return { key: error.code, tone: "error", text: explain(error), reload: error.code === "storage-lost" };
  }
  if (durability === "memory") {
    return { key: "memory", tone: "warning", text: explain({ code: "storage-unavailable" }), reload: false };
  }
  if (!low) return null;
  const text = "There is little space left on this device. Free some before it is full, so that everything you write can be kept.";
  return { key: "low", tone: "warning", text, reload: false };
}
