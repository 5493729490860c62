/** Serves pages: in a shared worker for all tabs, or in the page itself where there is none. */
import { Host } from "./host.js";
import { loadEngine } from "./load.js";
import { engineLockName, PROTOCOL_VERSION, type HostMessage, type PageMessage } from "./protocol.js";

/** One host per engine: two clients of one user in a page share it as two tabs would. */
const hosts = new Map<string, Host>();

/** Waits for a page's `hello` and hands the port to the host it asks for; a page of another version is sent away. */
export function serve(port: MessagePort): void {
  const environment = { load: loadEngine, locks: navigator.locks ?? null };
  port.onmessage = ({ data }: MessageEvent<PageMessage>) => {
    if (data.type !== "hello") return;
    if (data.protocol !== PROTOCOL_VERSION) {
      port.postMessage({ type: "refused", protocol: PROTOCOL_VERSION } satisfies HostMessage);
      port.close();
      return;
    }
    const name = engineLockName(data.engine);
    const host = hosts.get(name) ?? new Host(data.engine, environment);
    hosts.set(name, host);
    host.welcome(port, data);
  };
}
