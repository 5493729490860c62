/** A device's way to the relay: a TCP proxy that can be cut inside a frame, slowed down, choked, and silenced one way. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export type Direction = "up" | "down";

/** What one direction of all connections suffers. */
interface Trouble {
  delayMs: number;
  bytesPerSecond: number;
  /** Nothing comes through; the sender notices nothing until its buffers are full. */
  isSilent: boolean;
  /** After so many bytes more the connection is cut, most likely inside a frame; null: never. */
  cutAfterBytes: number | null;
}

const NO_TROUBLE: Readonly<Trouble> = { delayMs: 0, bytesPerSecond: Infinity, isSilent: false, cutAfterBytes: null };

/** What is passed on at once while the speed is limited. */
const SLICE_BYTES = 256;

export class Network {
  readonly trouble: Record<Direction, Trouble> = { up: { ...NO_TROUBLE }, down: { ...NO_TROUBLE } };
  readonly #server: Server;
  readonly #relay: { readonly port: number };
  readonly #sockets = new Set<Socket>();
  /** Pumps that wait for the end of a silence. */
  readonly #silenced = new Set<() => void>();
  #isDown = false;
  port = 0;

  private constructor(relay: { readonly port: number }) {
    this.#relay = relay;
    // Half-closed connections stay so: an end is passed on like any byte, in its turn.
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  static async lay(relay: { readonly port: number }): Promise<Network> {
    const network = new Network(relay);
    await new Promise<void>((resolve) => network.#server.listen(0, "127.0.0.1", resolve));
    const address = network.#server.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
    network.port = address.port;
    return network;
  }

  /** Resets all connections. Gives how many ends there were. */
  cut(): number {
    const sockets = [...this.#sockets];
    for (const socket of sockets) socket.resetAndDestroy();
    return sockets.length;
  }

  /** From here on nobody gets through. */
  goDown(): void {
    this.#isDown = true;
    this.cut();
  }

  /** No trouble any more. What was silenced arrives late, as after a lost route that came back. */
  heal(): void {
    this.#isDown = false;
    for (const direction of ["up", "down"] as const) Object.assign(this.trouble[direction], NO_TROUBLE);
    for (const goOn of this.#silenced) goOn();
    this.#silenced.clear();
  }

  async remove(): Promise<void> {
    this.heal();
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(device: Socket): void {
    if (this.#isDown) return void device.resetAndDestroy();
    const relay = connect({ port: this.#relay.port, host: "127.0.0.1", allowHalfOpen: true });
    for (const socket of [device, relay]) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("close", () => this.#sockets.delete(socket));
      socket.on("error", () => undefined); // its pump is told too, while it runs
    }
    void this.#pump(device, relay, "up");
    void this.#pump(relay, device, "down");
  }

  async #pump(from: Socket, to: Socket, direction: Direction): Promise<void> {
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) await this.#pass(chunk, from, to, direction);
      if (!to.destroyed) to.end();
    } catch {
      // One side was reset: so is the other.
      for (const socket of [from, to]) if (!socket.destroyed) socket.resetAndDestroy();
    }
  }

  async #pass(chunk: Buffer, from: Socket, to: Socket, direction: Direction): Promise<void> {
    const trouble = this.trouble[direction];
    if (trouble.delayMs > 0) await sleep(trouble.delayMs);
    for (let rest = chunk; rest.length > 0; ) {
      if (trouble.isSilent) await new Promise<void>((resolve) => this.#silenced.add(resolve));
      const { bytesPerSecond } = trouble;
      const slice = rest.subarray(0, Number.isFinite(bytesPerSecond) ? SLICE_BYTES : rest.length);
      rest = rest.subarray(slice.length);
      if (Number.isFinite(bytesPerSecond)) await sleep((slice.length / bytesPerSecond) * 1000);
      const left = trouble.cutAfterBytes;
      if (left !== null && slice.length >= left) {
        trouble.cutAfterBytes = null;
        to.write(slice.subarray(0, left), () => to.resetAndDestroy());
        from.resetAndDestroy();
        return;
      }
      if (left !== null) trouble.cutAfterBytes = left - slice.length;
      if (to.destroyed) throw new Error("the other side is gone");
      if (!to.write(slice)) await new Promise<void>((resolve) => {
        to.once("drain", resolve);
        to.once("close", resolve);
      });
    }
  }
}
