/** What happens to a device's connections. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../faults.js";
import type { Direction } from "../network.js";
import type { Random } from "../random.js";

/** Longer than either side takes silence for life: 60 s, after its own `alive` of every 20 s. */
const LONG_SILENCE_MS = 70_000;
/** One silence of so many is that long: its round takes a minute more. */
const LONG_SILENCE_IN = 20;

export const NETWORK_FAULTS: Readonly<Record<string, Fault>> = {
  "network-cut": {
    touches: ["network"],
    weight: 2,
    async run(_, { network }) {
      return network.cut() > 0;
    },
  },
  "network-cut-in-frame": {
    touches: ["network"],
    weight: 4,
    async run(_, { network }, random) {
      const trouble = network.trouble[direction(random)];
      trouble.cutAfterBytes = random.between(1, 2000);
      await sleep(random.between(500, 1500));
      const isCut = trouble.cutAfterBytes === null;
      trouble.cutAfterBytes = null;
      return isCut;
    },
  },
  "network-down": {
    touches: ["network"],
    weight: 3,
    async run(_, { network }, random) {
      network.goDown();
      await sleep(random.between(200, 2500));
      network.heal();
      return true;
    },
  },
  "network-delay": {
    touches: ["network"],
    weight: 2,
    async run(_, { network }, random) {
      network.trouble[direction(random)].delayMs = random.between(20, 400);
      await sleep(random.between(500, 2500));
      network.heal();
      return true;
    },
  },
  "network-throttle": {
    touches: ["network"],
    weight: 2,
    async run(_, { network }, random) {
      network.trouble[direction(random)].bytesPerSecond = random.between(500, 8000);
      await sleep(random.between(500, 2500));
      network.heal();
      return true;
    },
  },
  "network-half-open": {
    touches: ["network"],
    weight: 4,
    async run(world, { network }, random) {
      network.trouble[direction(random)].isSilent = true;
      const ms = random.below(LONG_SILENCE_IN) === 0 ? LONG_SILENCE_MS : random.between(200, 2500);
      await sleep(ms, undefined, { signal: world.stop });
      // Either the route comes back and brings what it held, or whoever stands in between forgot the connection.
      if (random.below(2) === 0) network.cut();
      network.heal();
      return true;
    },
  },
};

function direction(random: Random): Direction {
  return random.below(2) === 0 ? "up" : "down";
}
