/** The service worker: registers it, and tells when a newer build of this page is ready. */

let waiting: ServiceWorker | null = null;
const listeners = new Set<() => void>();

/** Starts keeping the page for offline use. Does nothing where browsers have no service workers. */
export async function keepOffline(): Promise<void> {
  if (!("serviceWorker" in navigator)) return;
  const { serviceWorker } = navigator;
  let hadWorker = serviceWorker.controller !== null;
  serviceWorker.addEventListener("controllerchange", () => {
    // The very first worker changes nothing; a later one has replaced this page's files.
    if (hadWorker) location.reload();
    hadWorker = true;
  });
  const registration = await serviceWorker.register("/service-worker.js");
  const look = (): void => {
    const ready = registration.active === null ? null : registration.waiting;
    if (ready === waiting) return;
    waiting = ready;
    for (const listener of listeners) listener();
  };
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", look));
  look();
}

/** A store: null, or what starts the newer build, in all tabs. */
export const update = {
  getSnapshot: (): (() => void) | null => (waiting === null ? null : takeOver),
  subscribe: (listener: () => void): (() => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

function takeOver(): void {
  waiting?.postMessage("take-over");
}
