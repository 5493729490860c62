/** What happens to a device: its processes, its tabs, its storage, its clock, its whole profile. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Device } from "../device.js";
import type { Fault } from "../faults.js";
import type { Random } from "../random.js";
import type { World } from "../world.js";

/** The name of the engine's database. */
const DATABASE = "tidelog:chaos:";
const TABS_MAX = 3;

export const BROWSER_FAULTS: Readonly<Record<string, Fault>> = {
  "browser-kill": {
    touches: ["browser"],
    weight: 4,
    async run(world, device, random) {
      await world.kill(device);
      await sleep(random.between(0, 1000));
      await world.switchOn(device, random.between(1, 2));
      return true;
    },
  },
  "browser-freeze": {
    touches: ["browser"],
    weight: 3,
    async run(_, device, random) {
      device.signal("SIGSTOP");
      await sleep(random.between(100, 2500));
      device.signal("SIGCONT");
      return true;
    },
  },
  /**
   * A renderer holds one tab or more, and one of them the engine's worker. The tabs of other renderers say so when
   * that is gone, and ask to be loaded again. So they are.
   */
  "renderer-kill": {
    touches: ["browser"],
    weight: 3,
    async run(world, device, random) {
      const renderers = await device.renderers();
      if (renderers.length === 0) return false;
      process.kill(random.pick(renderers), "SIGKILL");
      await reloadAll(world, device, random);
      if (device.pages.length === 0) await device.open(world.everyMs);
      return true;
    },
  },
  "page-freeze": {
    touches: ["browser"],
    weight: 3,
    async run(_, device, random) {
      const session = await device.session(random.pick(device.pages));
      await session.send("Page.setWebLifecycleState", { state: "frozen" });
      await sleep(random.between(200, 2500));
      await session.send("Page.setWebLifecycleState", { state: "active" });
      return true;
    },
  },
  "page-reload": {
    touches: ["browser"],
    weight: 2,
    async run(world, device, random) {
      await device.load(random.pick(device.pages), world.everyMs);
      return true;
    },
  },
  "tab-open": {
    touches: ["browser"],
    weight: 1,
    async run(world, device) {
      if (device.pages.length >= TABS_MAX) return false;
      await device.open(world.everyMs);
      return true;
    },
  },
  "tab-close": {
    touches: ["browser"],
    weight: 1,
    async run(world, device, random) {
      const page = random.pick(device.pages);
      if (device.pages.length === 1) await device.open(world.everyMs); // a browser without a tab would end
      await page.close();
      return true;
    },
  },
  "browser-offline": {
    touches: ["browser"],
    weight: 1,
    async run(_, device, random) {
      await device.setOffline(true);
      await sleep(random.between(200, 2000));
      await device.setOffline(false);
      return true;
    },
  },
  "clock-moved": {
    touches: ["browser"],
    weight: 2,
    async run(_, device, random) {
      const ms = random.pick([-86_400_000, -5000, 0, 5000, 90_000, 86_400_000]);
      await device.ask(random.pick(device.pages), `chaos.shiftClock(${ms})`);
      return true;
    },
  },
  "storage-full": {
    touches: ["browser"],
    weight: 3,
    async run(world, device, random) {
      const { origin } = world.site;
      const session = await device.session(random.pick(device.pages));
      await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: random.pick([0, 1000]) });
      await sleep(random.between(300, 2500));
      await session.send("Storage.overrideQuotaForOrigin", { origin });
      return true;
    },
  },
  /** By somebody in the page: the engine is told and lets go. */
  "database-deleted": {
    touches: ["browser"],
    weight: 1,
    async run(world, device, random) {
      await lose(world, device, "database deleted", async () => {
        const request = `new Promise((resolve) => { const r = indexedDB.deleteDatabase(${JSON.stringify(DATABASE)}); r.onsuccess = r.onerror = () => resolve(null); })`;
        await device.ask(random.pick(device.pages), request);
      });
      await reloadAll(world, device, random);
      return true;
    },
  },
  /** By the browser, as "clear site data" does. */
  "storage-cleared": {
    touches: ["browser"],
    weight: 1,
    async run(world, device, random) {
      await lose(world, device, "storage cleared", async () => {
        const session = await device.session(random.pick(device.pages));
        await session.send("Storage.clearDataForOrigin", { origin: world.site.origin, storageTypes: "all" });
      });
      await reloadAll(world, device, random);
      return true;
    },
  },
  "profile-rolled-back": {
    touches: ["browser"],
    weight: 2,
    async run(world, device, random) {
      const copy = join(world.folder, `copy-${device.name}`);
      await world.kill(device);
      const from = world.now();
      await device.copyProfile(copy);
      await world.switchOn(device, 1);
      await sleep(random.between(500, 2500));
      await world.kill(device);
      await device.restoreProfile(copy);
      world.losses.push({ device: device.name, rule: "profile rolled back", from, to: world.now() });
      await world.switchOn(device, 1);
      return true;
    },
  },
  "profile-cloned": {
    touches: ["browser"],
    weight: 2,
    async run(world, device) {
      const name = `${device.name}-clone`;
      if (world.devices.some((known) => known.name === name)) return false;
      await world.kill(device);
      const clone = await world.addDevice(name, device);
      await Promise.all([device, clone].map((each) => world.switchOn(each, 1)));
      return true;
    },
  },
};

/** Does something that takes all that the device had saved so far. */
async function lose(world: World, device: Device, rule: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } finally {
    world.losses.push({ device: device.name, rule, from: 0, to: world.now() });
  }
}

/** What the pages had is gone, storage or engine, and they want to be loaded again: a person does so after a moment. */
async function reloadAll(world: World, device: Device, random: Random): Promise<void> {
  await sleep(random.between(300, 1200));
  for (const page of device.pages) {
    await device.load(page, world.everyMs).catch((cause: unknown) => {
      if (device.pages.includes(page)) throw cause; // else it was killed, and only now we hear of it
    });
  }
}
