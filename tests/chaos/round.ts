/** One round: everybody writes while faults happen; then everything heals; then the oracle looks at what is on the disks. */
import { execFile } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Page } from "playwright-core";
import type { Device } from "./device.js";
import { FAULTS } from "./faults.js";
import { differences, judge, type DeviceDisk, type StoreFile, type Verdict } from "./oracle.js";
import { DOCUMENTS, STREAMS, type Shown, type ShownEvent } from "./page/shapes.js";
import { Random } from "./random.js";
import type { World } from "./world.js";

/** Once faults have stopped, everything is equal within this, in ms: the longest wait between two attempts to connect is 30 s. */
const HEAL_MS_MAX = 60_000;
/** A device shows what its disk holds within this, in ms. */
const DISK_MS_MAX = 20_000;

/** What a person is told to do about by reloading the page. */
const RELOAD_CODES = ["storage-lost", "engine-failed", "closed"];

/** What a round found, and figures for its line. */
export interface Outcome extends Verdict {
  readonly healMs: number;
  readonly faults: Readonly<Record<string, number>>;
}

/** Runs a round in a world that was just made. Throws if it does not come to its end; the world is ended by the caller. */
export async function runRound(world: World): Promise<Outcome> {
  const { plan, relay } = world;
  await relay.start();
  world.log("the relay runs");
  for (const { name } of plan.devices) await world.addDevice(name);
  await Promise.all(world.devices.map((device, index) => world.switchOn(device, plan.devices[index]!.tabs)));
  world.log("everybody writes");
  const faults = await doFaults(world);
  const healMs = await heal(world);
  world.stop.throwIfAborted();
  const verdict = judge(world, await readStore(world), await readDisks(world));
  const problems = [...verdict.problems, ...world.site.problems, ...world.problems];
  return { ...verdict, problems, healMs, faults };
}

/** Lets the plan happen. Gives how often each fault did. */
async function doFaults(world: World): Promise<Record<string, number>> {
  const done: Record<string, number> = {};
  const start = world.now();
  const running: Promise<void>[] = [];
  for (const planned of world.plan.faults) {
    await sleep(Math.max(0, start + planned.at - world.now()));
    world.stop.throwIfAborted();
    const fault = FAULTS[planned.name];
    const device = world.devices[planned.device];
    if (fault === undefined || device === undefined) throw new Error(`no fault ${planned.name}`);
    const isOfDevice = (thing: string): boolean => thing === "network" || thing === "browser";
    const things = fault.touches.map((thing) => (isOfDevice(thing) ? `${thing} of ${device.name}` : thing));
    const what = fault.touches.some(isOfDevice) ? `${planned.name} ${device.name}` : planned.name;
    const happen = async (): Promise<void> => {
      try {
        world.stop.throwIfAborted();
        world.log(what);
        const happened = await fault.run(world, device, new Random(planned.seed));
        if (happened) done[planned.name] = (done[planned.name] ?? 0) + 1;
        world.log(`${what}: ${happened ? "over" : "had nothing to happen to"}`);
      } catch (cause) {
        world.log(`${what}: ${String(cause)}`);
      }
    };
    running.push(world.inTurn(things, happen));
  }
  await sleep(Math.max(0, start + world.plan.chaosMs - world.now()));
  await Promise.all(running);
  return done;
}

/** Ends all trouble, and waits until all pages show the same and everything is on the relay. Gives how long it took, in ms. */
async function heal(world: World): Promise<number> {
  world.log("the faults are over");
  world.everyMs = 0;
  for (const { network } of world.devices) network.heal();
  world.disk.free();
  world.relay.signal("SIGCONT");
  if (!world.relay.isRunning) await world.relay.restart();
  for (const device of world.devices) {
    device.signal("SIGCONT");
    if (!device.isOn) await world.switchOn(device, 1);
    if (device.pages.length === 0) await device.open(0);
    for (const page of device.pages) await device.ask(page, "chaos.stop()");
    await device.ask(device.pages[0]!, "chaos.writeOnce()");
  }
  const start = world.now();
  let said: string | null = null;
  for (const [device, page] of allPages(world)) if (world.plan.isImpatient) await device.ask(page, "chaos.connect()");
  for (;;) {
    world.stop.throwIfAborted();
    const shown: [string, Shown][] = [];
    for (const [device, page] of allPages(world)) {
      const now = await device.ask<Shown>(page, "chaos.shown()");
      shown.push([`${device.name}.${device.pages.indexOf(page)}`, now]);
      if (now.errors.some((code) => RELOAD_CODES.includes(code))) {
        world.log(`${device.name}: reloaded, as the page asks for: ${now.errors.join(" ")}`);
        await device.load(page, 0);
      }
    }
    const different = differences(shown);
    const took = world.now() - start;
    if (different !== said && different !== null) world.log(different);
    said = different;
    if (different === null) {
      world.log(`all pages show the same after ${took.toFixed(0)} ms`);
      return took;
    }
    if (took > HEAL_MS_MAX) {
      for (const [name, now] of shown) world.log(`${name} shows ${JSON.stringify(now)}`);
      throw new Error(`not healed after ${HEAL_MS_MAX} ms: ${different}`);
    }
    await sleep(100);
  }
}

function allPages(world: World): [Device, Page][] {
  return world.devices.flatMap((device) => device.pages.map((page): [Device, Page] => [device, page]));
}

/** Kills the relay and reads its file. */
async function readStore(world: World): Promise<StoreFile> {
  await world.relay.kill();
  const program = process.env["TIDELOG_READ_LOG"];
  if (program === undefined) throw new Error("TIDELOG_READ_LOG names the program that reads a relay's store: cargo build -p read-log");
  const { stdout } = await promisify(execFile)(program, [world.relay.data, ...DOCUMENTS, ...STREAMS], { maxBuffer: 64 * 1024 * 1024 });
  return JSON.parse(stdout) as StoreFile;
}

/** Kills all browsers and reads their disks through the engine, with no relay in reach. Without those that a browser threw away. */
async function readDisks(world: World): Promise<readonly DeviceDisk[]> {
  await Promise.all(world.devices.map((device) => world.kill(device)));
  const disks = await Promise.all(world.devices.map(async (device) => {
    device.network.goDown();
    await world.switchOn(device, 1);
    const page = device.pages[0]!;
    await page.waitForFunction(() => window.chaos.ready, null, { timeout: DISK_MS_MAX, polling: 50 });
    const shown = await device.ask<Shown>(page, "chaos.shown()");
    const logs: Record<string, readonly ShownEvent[]> = {};
    for (const stream of STREAMS) logs[stream] = await device.ask<readonly ShownEvent[]>(page, `chaos.read(${JSON.stringify(stream)})`);
    const isLost = device.lostDatabase;
    await world.kill(device);
    return isLost ? null : { device: device.name, shown, logs };
  }));
  return disks.filter((disk) => disk !== null);
}
