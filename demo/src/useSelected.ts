/** Which note is open: the part of the address behind `#`, so that links, reload and the back button work. */
import { useSyncExternalStore } from "react";

const PREFIX = "#/notes/";

export const linkTo = (id: string): string => `${PREFIX}${encodeURIComponent(id)}`;

/** Opens a note, or the list with null. */
export function select(id: string | null): void {
  location.hash = id === null ? "#/" : linkTo(id);
}

/** The id in the address, or null. */
export function useSelected(): string | null {
  return useSyncExternalStore(subscribe, () => idIn(location.hash));
}

/** Only ids that can be part of a stream's name: anyone can type an address. */
export function idIn(hash: string): string | null {
  const id = hash.startsWith(PREFIX) ? hash.slice(PREFIX.length) : "";
  return /^[A-Za-z0-9-]{1,64}$/.test(id) && id !== "index" ? id : null;
}

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}
