/** Serves pages: in a shared worker for all tabs, or in the page itself where there is none. */
import { greet } from "./greeting.js";
import { Host } from "./host.js";
import { loadEngine } from "./load.js";
import { hostName } from "./protocol.js";

/** One host per engine: two clients of one user in a page share it as two tabs would. */
const hosts = new Map<string, Host>();

/** Serves a page's port. */
export function serve(port: MessagePort): void {
  greet(port, (options) => {
    const name = hostName(options);
    const host = hosts.get(name) ?? new Host(options, { load: loadEngine, locks: navigator.locks ?? null });
    hosts.set(name, host);
    return host;
  });
}
