/** A device: a real Chromium with a profile folder of its own, and a cable to the relay. */
import { existsSync } from "node:fs";
import { cp, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { chromium, type Browser, type Page } from "playwright-core";
import type { Cable } from "./cable.js";
import { Program } from "./processes.js";

/** How a Chromium is started, but for its profile. */
export const FLAGS = [
  "--headless=new", "--remote-debugging-port=0", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-default-browser-check",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--password-store=basic",
  // Two browsers share a screen that has one front window: the other must not be slowed down for being behind.
  "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding", "--disable-background-timer-throttling",
];

/** The Chromium of this machine. */
export function findChromium(): string {
  const named = process.env["CHROME_PATH"];
  if (named !== undefined) return named;
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  const found = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync);
  if (found === undefined) throw new Error("no Chromium was found: install one, or name it in CHROME_PATH");
  return found;
}

export class Device {
  readonly name: string;
  readonly cable: Cable;
  readonly #profile: string;
  #program: Program | null = null;
  #browser: Browser | null = null;
  /** What pages complained about: uncaught errors. */
  readonly problems: string[] = [];

  /** `profile`: the folder that is this device's disk. */
  constructor(name: string, profile: string, cable: Cable) {
    this.name = name;
    this.#profile = profile;
    this.cable = cable;
  }

  /** Switches it on and opens the demo; `hash` is the part of the address that names a note. */
  async start(hash = ""): Promise<Page> {
    const program = new Program(findChromium(), [...FLAGS, `--user-data-dir=${this.#profile}`, "about:blank"]);
    this.#program = program;
    const [, endpoint] = await program.says(/DevTools listening on (ws:\/\/\S+)/);
    this.#browser = await chromium.connectOverCDP(endpoint!);
    return this.open(hash);
  }

  /** Its tabs; none while it is off. */
  get pages(): readonly Page[] {
    return this.#browser?.contexts()[0]?.pages() ?? [];
  }

  /** Another tab with the demo. */
  async open(hash = ""): Promise<Page> {
    const context = this.#browser?.contexts()[0];
    if (context === undefined) throw new Error("the device is off");
    const blank = context.pages().find((page) => page.url() === "about:blank");
    const page = blank ?? (await context.newPage());
    page.on("pageerror", (error) => this.problems.push(String(error.stack ?? error)));
    await page.goto(`${this.cable.address}?test${hash}`, { timeout: 20_000 });
    return page;
  }

  /** Cuts this device off as a browser sees it: it says itself that there is no network. */
  async setNoNetwork(): Promise<void> {
    this.cable.cut();
    await this.#browser?.contexts()[0]?.setOffline(true);
  }

  /** Ends the browser as its user does. */
  async stop(): Promise<void> {
    const session = await this.#browser?.newBrowserCDPSession();
    await session?.send("Browser.close").catch(() => undefined); // it may be gone before it answers
    await this.#program?.ended(20_000);
    this.#off();
  }

  /** Ends it as a power cut does. */
  async kill(): Promise<void> {
    await this.#program?.kill();
    this.#off();
  }

  /** Copies the disk of a device that is off. */
  async copyProfile(to: string): Promise<void> {
    await cp(this.#profile, to, { recursive: true, filter: (path) => !/Singleton(Lock|Cookie|Socket)$/.test(path) });
  }

  /** Puts an older copy of the disk in its place; the device is off. */
  async restoreProfile(from: string): Promise<void> {
    await rm(this.#profile, { recursive: true });
    await cp(from, this.#profile, { recursive: true });
  }

  #off(): void {
    this.#program = null;
    this.#browser = null;
  }
}
