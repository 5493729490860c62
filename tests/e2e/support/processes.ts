/** Programs that a test starts; each is ended by its own process group, whatever becomes of the test. */
import { spawn, type ChildProcess } from "node:child_process";

/** A running program and the programs that it started itself. */
export class Program {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #output = "";
  /** Lines in which it, a Rust program, says that it panicked; kept, however much it prints behind them. */
  readonly panics: string[] = [];

  constructor(path: string, args: readonly string[]) {
    // A group of its own, so that killing it takes a browser's many processes with it.
    this.#process = spawn(path, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
    this.#ended = new Promise((resolve) => {
      this.#process.once("exit", () => resolve());
      this.#process.once("error", (cause) => {
        this.#output += String(cause);
        resolve();
      });
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      let line = "";
      stream?.setEncoding("utf8").on("data", (text: string) => {
        this.#output = (this.#output + text).slice(-20_000);
        const lines = (line + text).split("\n");
        line = lines.pop() ?? "";
        this.panics.push(...lines.filter((each) => each.includes("panicked")));
      });
    }
    running.add(this);
  }

  /** Its process id; null if it could not be started. */
  get pid(): number | null {
    return this.#process.pid ?? null;
  }

  /** What the program printed last. */
  get output(): string {
    return this.#output;
  }

  /** The first match in what it prints. Fails when it ends, or says nothing of the kind in time. */
  async says(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpMatchArray> {
    const deadline = Date.now() + timeoutMs;
    let ended = false;
    void this.#ended.then(() => (ended = true));
    for (;;) {
      const match = this.#output.match(pattern);
      if (match !== null) return match;
      if (ended || Date.now() > deadline) throw new Error(`a program ${ended ? "ended" : "was silent"} instead of saying ${pattern}:\n${this.#output}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Ends it as a power cut would. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#ended;
    running.delete(this);
  }

  /** Asks it to stop, and waits until it has. */
  async stop(signal: NodeJS.Signals = "SIGTERM", timeoutMs = 20_000): Promise<void> {
    this.signal(signal);
    await this.ended(timeoutMs);
  }

  /** Waits for its end; kills it when that takes too long. */
  async ended(timeoutMs: number): Promise<void> {
    const timer = setTimeout(() => this.signal("SIGKILL"), timeoutMs);
    await this.#ended;
    clearTimeout(timer);
    this.signal("SIGKILL"); // what it left behind in its group
    running.delete(this);
  }

  /** Sends a signal to it and all that it started. */
  signal(signal: NodeJS.Signals): void {
    const { pid } = this.#process;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // The group is gone.
    }
  }

  /** For the very end: whatever still runs. */
  killNow(): void {
    this.signal("SIGKILL");
  }
}

const running = new Set<Program>();
process.once("exit", () => running.forEach((program) => program.killNow()));
