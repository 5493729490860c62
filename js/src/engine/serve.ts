/** Serves pages: in a shared worker for all tabs, or in the page itself where there is none. */
import { greet } from "./greeting.js";
import { Host } from "./host.js";
import { loadEngine } from "./load.js";
import { hostName } from "./protocol.js";

/** One host per engine: two clients of one user in a page share it as two tabs would. */
const hosts = new Map<string, Host>();

/** Serves a page's port. `onRetired`: a host has come to its end, and whoever comes next shall not find it here. */
export function serve(port: MessagePort, onRetired: () => void = () => undefined): void {
  greet(port, (options) => {
    const name = hostName(options);
    const known = hosts.get(name);
    if (known !== undefined) return known;
    const retire = (): void => {
      hosts.delete(name);
      onRetired();
    };
    const host = new Host(options, { load: loadEngine, locks: navigator.locks ?? null, retire });
    hosts.set(name, host);
    return host;
  });
}
