/** How a browser page reaches its host: a SharedWorker, else a host in the page itself. */
import { hostName } from "./protocol.js";
import type { EngineOptions } from "./engine.js";
import type { OpenPort } from "./link.js";

/**
 * The ways to a host, best first; none on a server, where a client stays inert.
 * `worker`: another address for the worker's script, from `ClientOptions.assets`.
 */
export function browserPorts(engine: EngineOptions, worker: string | null): readonly OpenPort[] {
  if (typeof window === "undefined" || typeof MessageChannel === "undefined") return [];
  const inPage: OpenPort = (onFailed) => {
    const { port1, port2 } = new MessageChannel();
    // Loaded only here: a page with a shared worker never fetches the host's code.
    import("./serve.js").then(({ serve }) => serve(port2), onFailed);
    return port1;
  };
  return typeof SharedWorker === "undefined" ? [inPage] : [(onFailed) => sharedPort(engine, worker, onFailed), inPage];
}

function sharedPort(engine: EngineOptions, url: string | null, onFailed: () => void): MessagePort {
  const name = hostName(engine);
  // Bundlers find the worker by this very expression, so it stands here whole.
  const worker = url === null
    ? new SharedWorker(new URL("./shared-worker.js", import.meta.url), { type: "module", name })
    : new SharedWorker(/* @vite-ignore */ url, { type: "module", name });
  worker.onerror = onFailed;
  return worker.port;
}
