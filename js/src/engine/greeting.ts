/** The first words between a page and a host. */
import type { Host } from "./host.js";
import type { EngineOptions } from "./engine.js";
import { PROTOCOL_VERSION, type HostMessage, type PageMessage } from "./protocol.js";

/** Waits for a page's `hello` and hands the port to the host it asks for; a page of another version is sent away. */
export function greet(port: MessagePort, hostOf: (options: EngineOptions) => Host): void {
  port.onmessage = ({ data }: MessageEvent<PageMessage>) => {
    if (data.type !== "hello") return;
    if (data.protocol !== PROTOCOL_VERSION) {
      port.postMessage({ type: "refused", protocol: PROTOCOL_VERSION } satisfies HostMessage);
      port.close();
      return;
    }
    void hostOf(data.engine).welcome(port, data);
  };
}
