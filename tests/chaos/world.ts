/** One round's relay, devices, ledger and timeline, and who may touch what just now. */
import { appendFileSync, cpSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Device } from "./device.js";
import { Ledger } from "./ledger.js";
import { Network } from "./network.js";
import type { Line } from "./page/shapes.js";
import { Random } from "./random.js";
import { Relay, type Disk } from "./relay.js";
import type { Site } from "./site.js";

/** A fault took from a device what it had saved: writes from `from` until `to` that nobody else had may be gone. */
export interface Loss {
  readonly device: string;
  readonly rule: string;
  readonly from: number;
  readonly to: number;
}

/** The rule when a browser could not open the database that it had, after it was killed, and began with a new one. */
export const LOST_BY_BROWSER = "browser threw its database away";

/** The relay's log went back to how it was at `from`; what it took until `to` is there only if a device gives it back. */
export interface Rollback {
  readonly from: number;
  readonly to: number;
}

/** What a round is drawn from. */
export interface Plan {
  readonly seed: number;
  readonly devices: readonly { readonly name: string; readonly tabs: number }[];
  /** A page writes about so often, in ms. */
  readonly everyMs: number;
  /** Faults happen for so long, in ms. */
  readonly chaosMs: number;
  /** Whether people press "connect" when it is over, or wait for the devices to try again by themselves. */
  readonly isImpatient: boolean;
  readonly faults: readonly { readonly at: number; readonly name: string; readonly device: number; readonly seed: number }[];
}

export class World {
  readonly folder: string;
  readonly plan: Plan;
  readonly site: Site;
  readonly disk: Disk;
  readonly relay: Relay;
  /** Somebody wants the run to stop: nothing that takes long may go on then. */
  readonly stop: AbortSignal;
  readonly ledger: Ledger;
  readonly devices: Device[] = [];
  readonly losses: Loss[] = [];
  readonly rollbacks: Rollback[] = [];
  /** The device that each clone was copied from. */
  readonly originals = new Map<string, string>();
  /** 0 once the faults are over: nobody writes by itself any more. */
  everyMs: number;
  readonly #start = performance.now();
  /** The end of the last that was to be done to each thing. */
  readonly #turns = new Map<string, Promise<void>>();
  readonly #startedAt = new Map<Device, number>();
  readonly #random: Random;

  constructor(folder: string, plan: Plan, site: Site, disk: Disk, stop: AbortSignal) {
    mkdirSync(folder, { recursive: true });
    this.folder = folder;
    this.plan = plan;
    this.site = site;
    this.disk = disk;
    this.stop = stop;
    this.everyMs = plan.everyMs;
    this.#random = new Random(plan.seed ^ 0x5eed);
    this.relay = new Relay(join(disk.folder, `round-${plan.seed}`), site.origin, (said) => this.log(`the relay said: ${said.trim()}`));
    this.ledger = new Ledger(join(folder, "ledger.jsonl"), () => this.now());
    site.onLines = (device: string, lines: readonly Line[]) => this.ledger.add(device, lines);
  }

  /** Milliseconds since the round began. */
  now(): number {
    return performance.now() - this.#start;
  }

  /** What went wrong beside all that the oracle sees: errors in pages that nobody caught, panics of the relay. */
  get problems(): readonly string[] {
    return [...this.devices.flatMap((device) => device.problems), ...this.relay.panics.map((line) => `the relay: ${line}`)];
  }

  /** A line of the timeline. */
  log(line: string): void {
    appendFileSync(join(this.folder, "timeline.txt"), `${this.now().toFixed(0).padStart(6)} ${line}\n`);
  }

  /** `original`: a device that is off and that this one is a copy of. */
  async addDevice(name: string, original: Device | null = null): Promise<Device> {
    const profile = join(this.folder, `profile-${name}`);
    if (original !== null) {
      await original.copyProfile(profile);
      this.originals.set(name, original.name);
    }
    const device = new Device(name, profile, await Network.lay(this.relay), this.site.origin, this.#random);
    this.devices.push(device);
    return device;
  }

  /** Switches a device on, with its tabs. */
  async switchOn(device: Device, tabs: number): Promise<void> {
    this.#startedAt.set(device, this.now());
    await device.start();
    for (let tab = 0; tab < tabs; tab += 1) await device.open(this.everyMs);
  }

  /** Ends a device as a power cut that keeps the page cache. What its browser itself lost until then is a loss as others are. */
  async kill(device: Device): Promise<void> {
    if (device.isOn && device.lostDatabase) {
      this.log(`${device.name}: the browser has thrown its database away`);
      this.losses.push({ device: device.name, rule: LOST_BY_BROWSER, from: 0, to: this.#startedAt.get(device) ?? 0 });
    }
    await device.kill();
  }

  /** Runs `work`, which does not reject, once all that was to be done to the same things before is over. */
  async inTurn(things: readonly string[], work: () => Promise<void>): Promise<void> {
    const turn = Promise.all(things.map((thing) => this.#turns.get(thing))).then(work);
    for (const thing of things) this.#turns.set(thing, turn);
    await turn;
  }

  /** Copies the relay's store out of its small disk, for whoever looks into a failure. */
  keepStore(): void {
    cpSync(this.relay.folder, join(this.folder, "relay"), { recursive: true });
    rmSync(this.relay.folder, { recursive: true, force: true });
  }

  /** Ends everything that the round started. */
  async end(): Promise<void> {
    await Promise.all(this.devices.map((device) => this.kill(device)));
    await this.relay.kill();
    await Promise.all(this.devices.map(({ network }) => network.remove()));
    this.site.onLines = () => undefined;
    this.ledger.close();
  }
}
