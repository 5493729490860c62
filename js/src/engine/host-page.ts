/** One page as its host sees it: a port, and a window that bounds what waits in it. */
import { PAGE_WINDOW_BYTES, pageLockName, type HostMessage, type PageEvent } from "./protocol.js";

/** One page of a host. */
export class HostPage {
  /** As it named itself. */
  readonly id: string;
  readonly port: MessagePort;
  readonly hasToken: boolean;
  /** A page says so itself as soon as it is hidden. */
  visible = true;
  /** Bytes of batches that it has not confirmed. A frozen page confirms nothing, and so costs no more than the window. */
  #unconfirmedBytes = 0;
  #unwatch = new AbortController();

  constructor(id: string, port: MessagePort, hasToken: boolean) {
    this.id = id;
    this.port = port;
    this.hasToken = hasToken;
  }

  post(message: HostMessage): void {
    this.port.postMessage(message);
  }

  /** Passes a batch on, or, when the window is full, only that there is something to read. */
  postBatch(batch: Extract<PageEvent, { type: "applied" }>): void {
    if (this.#unconfirmedBytes >= PAGE_WINDOW_BYTES) {
      this.post({ type: "grown", stream: batch.stream, epoch: batch.epoch, upto: batch.upto });
      return;
    }
    this.#unconfirmedBytes += batch.bytes;
    this.post({ type: "event", event: batch });
  }

  confirm(bytes: number): void {
    this.#unconfirmedBytes = Math.max(0, this.#unconfirmedBytes - bytes);
  }

  /** Calls `onGone` when the page's lock is free, which means that the page is gone. */
  watch(locks: LockManager, onGone: () => void): void {
    locks.request(pageLockName(this.id), { signal: this.#unwatch.signal }, onGone).catch(() => undefined);
  }

  end(): void {
    this.#unwatch.abort();
    this.port.close();
  }
}
