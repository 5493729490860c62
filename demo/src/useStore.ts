/** Any of Tidelog's stores in a component. */
import { useSyncExternalStore } from "react";
import type { Store } from "tidelog";

/** The value now; the component renders again when it changes. Watching a document or stream opens it. */
export function useStore<T>({ subscribe, getSnapshot }: Store<T>): T {
  return useSyncExternalStore(subscribe, getSnapshot);
}
