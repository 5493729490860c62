/** A relay and some devices in a temporary folder, for one test. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect } from "vitest";
import { Cable } from "./cable.js";
import { Device } from "./device.js";
import { describe } from "./note.js";
import { DEMO, Relay } from "./relay.js";

export class World {
  readonly folder: string;
  readonly relay: Relay;
  readonly #devices: Device[] = [];

  private constructor(folder: string, files: string) {
    this.folder = folder;
    this.relay = new Relay(join(folder, "relay"), files);
  }

  /** With a running relay. Ends by itself with the test. `files`: what is served instead of the demo as it was built. */
  static async create(files = DEMO): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), "tidelog-e2e-")), files);
    worlds.push(world);
    await world.relay.start();
    return world;
  }

  /** A device that is off. */
  async device(name: string): Promise<Device> {
    const device = new Device(name, join(this.folder, name), await Cable.lay(this.relay));
    this.#devices.push(device);
    return device;
  }

  /** A copy of a device that is off, with a cable to the same address that its pages know. */
  async clone(device: Device, name: string): Promise<Device> {
    const profile = join(this.folder, name);
    await device.copyProfile(profile);
    const clone = new Device(name, profile, device.cable); // data belongs to an address, so both have the same
    this.#devices.push(clone);
    return clone;
  }

  async end(): Promise<void> {
    await Promise.all(this.#devices.map((device) => device.kill()));
    await Promise.all([...new Set(this.#devices.map(({ cable }) => cable))].map((cable) => cable.remove()));
    await this.relay.kill();
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }

  /** What each page shows now, and what the relay said last. */
  async tell(): Promise<string> {
    const pages = this.#devices.flatMap(({ name, pages }) => pages.map(async (page) => `${name}: ${JSON.stringify(await describe(page))}`));
    return [...(await Promise.all(pages)), ...this.#devices.flatMap(({ problems }) => problems), `relay: ${this.relay.output}`].join("\n");
  }

  /** No page of any device threw an error that nobody caught, and the relay never panicked. */
  expectNoProblems(): void {
    expect([...this.#devices.flatMap(({ problems }) => problems), ...this.relay.panics]).toEqual([]);
  }
}

const worlds: World[] = [];
afterEach(async ({ task }) => {
  for (const world of worlds.splice(0)) {
    // A test that ran out of time could not say where it stood.
    if (task.result?.state === "fail") console.log(`where "${task.name}" ended:\n${await world.tell()}`);
    await world.end();
  }
});
