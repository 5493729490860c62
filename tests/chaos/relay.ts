/** The real relay with a data folder on a small disk of its own, where this machine can make one. */
import { execFileSync } from "node:child_process";
import { appendFileSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { binary } from "../e2e/support/relay.js";
import { Program } from "../e2e/support/processes.js";
import { REFUSED_WORD } from "./page/shapes.js";

/** Room for what a round writes, and soon full. */
const DISK_BYTES = 24 * 1024 * 1024;

/** Within this it comes up again, in ms: longer than its disk is full. */
const RESTART_MS_MAX = 10_000;

/** What the relay refuses. */
const RULES = { rules: [{ streams: "comments", words: [REFUSED_WORD], code: "unwelcome-word", reason: "Not this word." }] };

/** A file system of its own for the relay's data. */
export class Disk {
  readonly folder: string;
  /** Whether it is as small as it should be: then it can be full. */
  readonly isSmall: boolean;

  /** Makes the folder and puts a small file system there. That needs root and Linux; elsewhere it is a plain folder. */
  constructor(folder: string) {
    this.folder = folder;
    mkdirSync(folder, { recursive: true });
    this.isSmall = mount(folder);
    if (this.isSmall) mounted.add(folder);
  }

  /** Uses up what is free. */
  fill(): void {
    const piece = Buffer.alloc(64 * 1024);
    try {
      for (let size = 0; size < DISK_BYTES; size += piece.length) appendFileSync(this.#ballast, piece);
      throw new Error("the relay's disk has more room than it should have");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "ENOSPC") throw cause;
    }
  }

  free(): void {
    rmSync(this.#ballast, { force: true });
  }

  /** Nothing may be in use there. */
  remove(): void {
    if (mounted.delete(this.folder)) unmount(this.folder);
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #ballast(): string {
    return join(this.folder, "ballast");
  }
}

const mounted = new Set<string>();
process.once("exit", () => mounted.forEach(unmount));

function mount(folder: string): boolean {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${DISK_BYTES}`, "tidelog-chaos", folder], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function unmount(folder: string): void {
  // Lazily: a relay that is just being killed may still have a file open.
  execFileSync("umount", ["--lazy", folder], { stdio: "ignore" });
}

export class Relay {
  readonly folder: string;
  readonly data: string;
  readonly #origin: string;
  readonly #rules: string;
  readonly #log: (line: string) => void;
  #program: Program | null = null;
  /** One for each time that it was started. */
  readonly #lives: Program[] = [];
  /** 0 until the first start has chosen one. */
  port = 0;

  /** `folder`: on the relay's disk. `origin`: of the pages that may connect. */
  constructor(folder: string, origin: string, log: (line: string) => void) {
    this.folder = folder;
    this.data = join(folder, "data");
    this.#rules = join(folder, "rules.json");
    this.#origin = origin;
    this.#log = log;
    mkdirSync(folder, { recursive: true });
    writeFileSync(this.#rules, JSON.stringify(RULES));
  }

  get isRunning(): boolean {
    return this.#program !== null;
  }

  /** Rejects if it does not come up: on a full disk it may not. */
  async start(): Promise<void> {
    const program = new Program(binary(), [
      "serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.data, "--origin", this.#origin, "--rules", this.#rules,
      "--goodbye-delay-ms-max", "500", "--log", "warn",
    ]);
    this.#program = program;
    this.#lives.push(program);
    try {
      const [, port] = await program.says(/listens on http:\/\/127\.0\.0\.1:(\d+)/, 10_000);
      this.port = Number(port);
    } catch (cause) {
      await this.kill();
      throw cause;
    }
  }

  /** Starts it again until it runs, as a supervisor does: on a full disk it may not come up at once. */
  async restart(): Promise<void> {
    const deadline = Date.now() + RESTART_MS_MAX;
    for (;;) {
      try {
        return await this.start();
      } catch (cause) {
        if (Date.now() > deadline) throw cause;
        this.#log(`the relay does not start: ${String(cause)}`);
        await sleep(300);
      }
    }
  }

  /** As a power cut that keeps the page cache. */
  async kill(): Promise<void> {
    const program = this.#end();
    await program?.kill();
  }

  /** Asks it to go, as an operator does. */
  async stop(): Promise<void> {
    const program = this.#end();
    await program?.stop();
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#program?.signal(signal);
  }

  /** Copies the data; the relay must be stopped or stand still. */
  copyData(to: string): void {
    rmSync(to, { recursive: true, force: true });
    cpSync(this.data, to, { recursive: true });
  }

  /** Puts an older copy in the place of the data, or nothing. The relay must be stopped. */
  replaceData(by: string | null): void {
    rmSync(this.data, { recursive: true, force: true });
    if (by !== null && existsSync(by)) cpSync(by, this.data, { recursive: true });
  }

  /** Where it panicked, in any of its lives: it goes on without the thread or task, and all may still be healed in the end. */
  get panics(): readonly string[] {
    return this.#lives.flatMap(({ panics }) => panics);
  }

  #end(): Program | null {
    const program = this.#program;
    if (program !== null && program.output !== "") this.#log(program.output);
    this.#program = null;
    return program;
  }
}
