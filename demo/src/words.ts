/** Tidelog's codes in words for the person at the screen. */
import type { Connection, SyncErrorInfo, SyncStatus } from "tidelog";

/** What went wrong, and what to do about it. */
export function explain({ code }: Pick<SyncErrorInfo, "code">): string {
  switch (code) {
    case "rejected":
      return "The relay refused this.";
    case "access-denied":
    case "access-revoked":
      return "You may not open this.";
    case "needs-auth":
      return "Please sign in again.";
    case "wrong-user":
      return "These notes belong to someone else.";
    case "storage-full":
      return "This device has no space left: what you write now is lost when the page closes. Free some space, then go on.";
    case "storage-unavailable":
      return "This browser does not let the page keep anything: what has not reached the relay is gone when the page closes.";
    case "storage-lost":
      return "The browser has deleted this page’s data. Reload it: what had reached the relay comes back.";
    case "history-cut":
    case "log-replaced":
      return "That part of the history is no longer kept.";
    case "not-on-device":
      return "This is not on this device yet. It opens once the relay can be reached.";
    case "not-ready":
      return "This is still opening.";
    case "closed":
      return "This page’s data was closed or deleted in another tab. Reload to go on.";
    case "invalid-name":
    case "invalid-value":
    case "wrong-kind":
      return "This cannot be shown here.";
    case "too-large":
      return "This is too large to send. Split it up.";
    case "outdated-app":
      return "A newer version of this page has been used here. Reload to get it.";
    case "engine-failed":
      return "The part that keeps your notes did not start. Reload the page; if that does not help, another browser may.";
    default:
      return unknown(code);
  }
}

/** Where all that was written is safe. The three meanings of "saved" are never mixed, and what was refused is none of them. */
export function describeSaved({ savedOn, rejected }: Pick<SyncStatus, "savedOn" | "rejected">): string {
  switch (savedOn) {
    case "none":
      return "Not yet saved";
    case "device":
      return rejected > 0 ? "Rest on this device" : "Saved on this device";
    case "relay":
      return rejected > 0 ? "Rest on the relay" : "Saved on the relay";
    default:
      return unknown(savedOn);
  }
}

/** The connection in a few words. */
export function describeConnection(connection: Connection, isOnline: boolean): string {
  switch (connection.state) {
    case "idle":
    case "connecting":
      return "Connecting…";
    case "offline":
      return isOnline ? "Working offline" : "No network";
    case "connected":
      return "Connected";
    case "waiting":
      return describeWait(connection.waitsFor);
    case "needs-auth":
      return "Signed out";
    case "stopped":
      return "Stopped";
    case "closed":
      return "Closed";
    default:
      return unknown(connection);
  }
}

function describeWait(waitsFor: Extract<Connection, { state: "waiting" }>["waitsFor"]): string {
  switch (waitsFor) {
    case "relay":
      return "Relay not reached";
    case "other-tab":
      return "In use by another tab";
    case "engine":
      return "Starting again…";
    default:
      return unknown(waitsFor);
  }
}

/** A case that the types rule out; a newer relay or package may still bring it. */
function unknown(value: never): string {
  return `Something unexpected happened (${JSON.stringify(value)}).`;
}
