/** Refused writes in words. */
import type { AppEvent, Patch } from "tidelog";

type CommentEvent = AppEvent & { readonly payload: { readonly key: string; readonly name: string; readonly text: string } };

/** Whether a refused event is a comment, which can be corrected here. It lay on a disk, so it is looked at. */
export function isComment(event: AppEvent): event is CommentEvent {
  const { payload } = event;
  return event.type === "added" && typeof payload === "object" && payload !== null && "text" in payload && typeof payload.text === "string";
}

/** The same comment with another text. */
export function withText(event: CommentEvent, text: string): CommentEvent {
  return { ...event, payload: { ...event.payload, text } };
}

/** What a refused change of a document had done, in a line. */
export function describeEdits(patches: readonly Patch[]): string {
  const written = patches.flatMap((patch) => {
    switch (patch.action) {
      case "splice":
        return [patch.value];
      case "put":
        return typeof patch.value === "string" && patch.value !== "" ? [patch.value] : [];
      case "insert":
        return patch.values.filter((value) => typeof value === "string");
      case "del":
      case "inc":
      case "conflict":
        return [];
    }
  });
  const text = written.join("").trim();
  if (text !== "") return `“${text.length > 80 ? `${text.slice(0, 80)}…` : text}”`;
  return patches.some(({ action }) => action === "del") ? "Something deleted" : "A change";
}

/** Why, for a person: the relay's own words if it gave any. */
export function explainRefusal({ code, reason }: { readonly code: string; readonly reason: string }): string {
  if (reason !== "") return reason;
  switch (code) {
    case "access-denied":
    case "access-revoked":
      return "You may not write here.";
    case "too-large":
      return "This is too large for the relay. Split it up.";
    case "depends-on-rejected":
      return "It was made on top of something that the relay refused.";
    case "reason-lost":
      return "The relay refused this; it no longer knows why.";
    case "profile-copied":
      return "A copy of this browser’s profile wrote here at the same moment, and what it wrote came first.";
    case "unsure":
      return "The relay lost its data before it answered. It may have this already: look before you send it again.";
    default:
      return `The relay refused this (${code}).`;
  }
}
