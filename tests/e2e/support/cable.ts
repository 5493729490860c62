/**
 * A device's way to the relay: a proxy that can be cut and plugged in again, and that counts what passes. The page is
 * loaded through it too, so page and socket have the same origin, as they have without it.
 */
import { createServer, connect, type Server, type Socket } from "node:net";

export class Cable {
  readonly #server: Server;
  readonly #relay: { readonly port: number };
  readonly #sockets = new Set<Socket>();
  readonly #webSockets = new Set<Socket>();
  #isCut = false;
  port = 0;

  private constructor(relay: { readonly port: number }) {
    this.#relay = relay;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  static async lay(relay: { readonly port: number }): Promise<Cable> {
    const cable = new Cable(relay);
    await new Promise<void>((resolve) => cable.#server.listen(0, "127.0.0.1", resolve));
    const address = cable.#server.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
    cable.port = address.port;
    return cable;
  }

  /** What a person types to open the demo. */
  get address(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** WebSockets to the relay that are open now. */
  get webSockets(): number {
    return this.#webSockets.size;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  plug(): void {
    this.#isCut = false;
  }

  async remove(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(device: Socket): void {
    if (this.#isCut) return void device.destroy();
    const relay = connect(this.#relay.port, "127.0.0.1");
    for (const [from, to] of [[device, relay], [relay, device]] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#sockets.delete(from);
        this.#webSockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
    device.once("data", (first) => {
      if (first.toString("latin1", 0, 16).startsWith("GET /sync ")) this.#webSockets.add(device);
    });
  }
}
