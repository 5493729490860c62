/** A device under chaos: a real Chromium with a profile folder, some tabs, and a network of its own. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type CDPSession, type Page } from "playwright-core";
import { findChromium, FLAGS } from "../e2e/support/device.js";
import { Program } from "../e2e/support/processes.js";
import type { Network } from "./network.js";
import type { ChaosPage } from "./page/shapes.js";
import type { Random } from "./random.js";

declare global {
  interface Window {
    chaos: ChaosPage;
  }
}

/** What a browser is given to answer, in ms; the machine may be busy with others. */
const ANSWER_MS_MAX = 30_000;

/** The promise, or an error when it takes too long: a browser that stands still answers nothing. */
export async function within<T>(what: string, promise: Promise<T>, ms = ANSWER_MS_MAX): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer in ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

export class Device {
  readonly name: string;
  readonly network: Network;
  readonly #profile: string;
  readonly #origin: string;
  readonly #random: Random;
  #program: Program | null = null;
  #browser: Browser | null = null;
  /** Its tabs, the oldest first. */
  pages: Page[] = [];
  /** What pages complained about: uncaught errors. */
  readonly problems: string[] = [];
  #opened = 0;
  /** When the browser was started, in ms since 1970, if it had a database for the page then; else it cannot lose one. */
  #hadDatabaseAt = Infinity;

  constructor(name: string, profile: string, network: Network, origin: string, random: Random) {
    this.name = name;
    this.#profile = profile;
    this.network = network;
    this.#origin = origin;
    this.#random = random;
  }

  get isOn(): boolean {
    return this.#program !== null;
  }

  /** Switches it on, with no tab. */
  async start(): Promise<void> {
    this.#hadDatabaseAt = this.#databases().length > 0 ? Date.now() : Infinity;
    const program = new Program(findChromium(), [...FLAGS, `--user-data-dir=${this.#profile}`, "about:blank"]);
    this.#program = program;
    const [, endpoint] = await program.says(/DevTools listening on (ws:\/\/\S+)/);
    this.#browser = await within("connecting to a browser", chromium.connectOverCDP(endpoint!));
  }

  /** A tab that writes about every `everyMs`, or not at all if that is 0. */
  async open(everyMs: number): Promise<Page> {
    const context = this.#context;
    const blank = context.pages().find((page) => page.url() === "about:blank");
    const page = blank ?? (await within("a new tab", context.newPage()));
    this.pages.push(page);
    page.on("pageerror", (error) => this.problems.push(`${this.name}: ${String(error.stack ?? error)}`));
    page.on("close", () => this.#forget(page));
    page.on("crash", () => {
      this.#forget(page);
      page.close().catch(() => undefined); // loading it again would bring it back, and nobody would know of it
    });
    await this.load(page, everyMs);
    return page;
  }

  /** Loads the page into a tab, again too. Each load has a name of its own, so that no two write the same tokens. */
  async load(page: Page, everyMs: number): Promise<void> {
    this.#opened += 1;
    const options = new URLSearchParams({
      device: this.name,
      name: `${this.name}${this.#opened}`,
      relay: `ws://127.0.0.1:${this.network.port}/sync`,
      every: String(everyMs),
      seed: String(this.#random.below(1 << 30)),
    });
    await page.goto(`${this.#origin}/?${options}`, { timeout: ANSWER_MS_MAX, waitUntil: "load" });
  }

  /** Asks a page, whose answer is data. */
  async ask<T>(page: Page, question: string): Promise<T> {
    return within(`asking ${this.name} for ${question}`, page.evaluate<T>(question));
  }

  /** A session with one tab. */
  async session(page: Page): Promise<CDPSession> {
    return within("a session with a tab", this.#context.newCDPSession(page));
  }

  /** The process ids of the browser's renderers. */
  async renderers(): Promise<readonly number[]> {
    if (this.#browser === null) return [];
    const session = await within("a session with a browser", this.#browser.newBrowserCDPSession());
    const { processInfo } = await within("a browser's processes", session.send("SystemInfo.getProcessInfo"));
    return processInfo.filter(({ type }) => type === "renderer").map(({ id }) => id);
  }

  async setOffline(isOffline: boolean): Promise<void> {
    await within("telling a browser of its network", this.#context.setOffline(isOffline));
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#program?.signal(signal);
  }

  /** Ends it as a power cut that keeps the page cache. */
  async kill(): Promise<void> {
    const program = this.#program;
    this.#program = null;
    this.#browser = null;
    this.pages = [];
    await program?.kill();
  }

  /**
   * Whether the browser has thrown the database away that it had when it was started, as Chromium does with one that it
   * cannot open. Its own log says so: it made a new one.
   */
  get lostDatabase(): boolean {
    return this.#databases().map((folder) => join(folder, "LOG")).some((log) => statSync(log).mtimeMs > this.#hadDatabaseAt && readFileSync(log, "utf8").includes("since it was missing"));
  }

  /** Copies the disk of a device that is off. */
  async copyProfile(to: string): Promise<void> {
    await rm(to, { recursive: true, force: true });
    await cp(this.#profile, to, { recursive: true, filter: (path) => !/Singleton(Lock|Cookie|Socket)$/.test(path) });
  }

  /** Puts an older copy of the disk in its place; the device is off. */
  async restoreProfile(from: string): Promise<void> {
    await rm(this.#profile, { recursive: true, force: true });
    await cp(from, this.#profile, { recursive: true });
  }

  get #context(): BrowserContext {
    const context = this.#browser?.contexts()[0];
    if (context === undefined) throw new Error(`${this.name} is off`);
    return context;
  }

  /** The folders of the page's databases. */
  #databases(): string[] {
    const all = join(this.#profile, "Default", "IndexedDB");
    if (!existsSync(all)) return [];
    return readdirSync(all).filter((name) => name.endsWith(".leveldb")).map((name) => join(all, name)).filter((folder) => existsSync(join(folder, "LOG")));
  }

  #forget(page: Page): void {
    this.pages = this.pages.filter((known) => known !== page);
  }
}
