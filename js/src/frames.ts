/** When things are shown and changes are closed: at the next frame, or after 50 ms where there are no frames. */

/** A hidden page gets no frames, and a busy one late ones: nothing waits longer than this. */
export const FRAME_MS_MAX = 50;

/** Runs `run` once, at the next frame or after {@link FRAME_MS_MAX}, whichever comes first. Gives its cancellation. */
export function atNextFrame(run: () => void): () => void {
  const framed = typeof requestAnimationFrame === "function";
  const frame = framed ? requestAnimationFrame(() => fire()) : 0;
  const timer = setTimeout(() => fire(), FRAME_MS_MAX);
  const cancel = (): void => {
    if (framed) cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const fire = (): void => {
    cancel();
    run();
  };
  return cancel;
}

/** Runs `run` at most once a frame, however often it is asked for. */
export class OncePerFrame {
  readonly #run: () => void;
  #cancel: (() => void) | null = null;

  constructor(run: () => void) {
    this.#run = run;
  }

  request(): void {
    this.#cancel ??= atNextFrame(() => {
      this.#cancel = null;
      this.#run();
    });
  }

  /** Runs it now if it was asked for. */
  flush(): void {
    if (this.#cancel === null) return;
    this.cancel();
    this.#run();
  }

  cancel(): void {
    this.#cancel?.();
    this.#cancel = null;
  }
}
