/** The real relay, as a program with a data folder of its own. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { Program } from "./processes.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));
export const DEMO = `${root}demo/dist`;

/** The relay's program. */
export function binary(): string {
  const named = process.env["TIDELOG_RELAY"];
  if (named !== undefined) return named;
  const built = ["release", "debug"].map((profile) => `${root}target/${profile}/tidelog-relay`).find(existsSync);
  if (built === undefined) throw new Error("there is no relay to test: build it (cargo build -p relay-server), or name it in TIDELOG_RELAY");
  return built;
}

/** Starts, dies and comes back under the same address. */
export class Relay {
  readonly #data: string;
  readonly #files: string;
  #program: Program | null = null;
  /** One for each time that it was started. */
  readonly #lives: Program[] = [];
  /** 0 until the first start has chosen one. */
  port = 0;

  /** `data`: a folder that the relay may fill; `files`: what it serves. */
  constructor(data: string, files: string) {
    this.#data = data;
    this.#files = files;
  }

  async start(): Promise<void> {
    if (!existsSync(`${DEMO}/index.html`)) throw new Error("the demo is not built: npm run build -w demo");
    const program = new Program(binary(), [
      "serve", "--listen", `127.0.0.1:${this.port}`, "--data", this.#data, "--static", this.#files, "--rules", `${root}demo/relay-rules.json`,
      "--log", "info,relay_server=debug", // who came and went, and why
    ]);
    this.#program = program;
    this.#lives.push(program);
    const [, port] = await program.says(/listens on http:\/\/127\.0\.0\.1:(\d+)/);
    this.port = Number(port);
  }

  /** What it printed last; nothing while it is down. */
  get output(): string {
    return this.#program?.output ?? "";
  }

  /** Where it panicked, in any of its lives: it goes on without the thread or task, and a test may not notice. */
  get panics(): readonly string[] {
    return this.#lives.flatMap(({ panics }) => panics);
  }

  async kill(): Promise<void> {
    await this.#program?.kill();
    this.#program = null;
  }

  async stop(): Promise<void> {
    await this.#program?.stop();
    this.#program = null;
  }

  /** As after a lost disk. The relay must not run. */
  async loseData(): Promise<void> {
    if (this.#program !== null) throw new Error("the relay still runs");
    await rm(this.#data, { recursive: true });
  }
}
