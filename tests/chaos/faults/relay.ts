/** What happens to the relay, its data and its disk. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../faults.js";

export const RELAY_FAULTS: Readonly<Record<string, Fault>> = {
  "relay-kill": {
    touches: ["relay"],
    weight: 6,
    async run({ relay }, _, random) {
      await relay.kill();
      await sleep(random.between(0, 1500));
      await relay.restart();
      return true;
    },
  },
  "relay-stop": {
    touches: ["relay"],
    weight: 2,
    async run({ relay }, _, random) {
      await relay.stop();
      await sleep(random.between(0, 1000));
      await relay.restart();
      return true;
    },
  },
  "relay-freeze": {
    touches: ["relay"],
    weight: 3,
    async run({ relay }, _, random) {
      relay.signal("SIGSTOP");
      await sleep(random.between(50, 2000));
      relay.signal("SIGCONT");
      return true;
    },
  },
  /** Nobody makes a new epoch: that it is an older log must be noticed without. */
  "relay-restored": {
    touches: ["relay"],
    weight: 2,
    async run(world, _, random) {
      const { relay } = world;
      const copy = join(world.folder, "relay-copy");
      relay.signal("SIGSTOP"); // so that all files are of one moment
      const from = world.now();
      relay.copyData(copy);
      relay.signal("SIGCONT");
      await sleep(random.between(500, 2500));
      await relay.kill();
      relay.replaceData(copy);
      world.rollbacks.push({ from, to: world.now() });
      await sleep(random.between(0, 500));
      await relay.restart();
      return true;
    },
  },
  "relay-lost": {
    touches: ["relay"],
    weight: 1,
    async run(world, _, random) {
      const { relay } = world;
      await relay.kill();
      relay.replaceData(null);
      world.rollbacks.push({ from: 0, to: world.now() });
      await sleep(random.between(0, 500));
      await relay.restart();
      return true;
    },
  },
  "disk-full": {
    touches: ["disk"],
    weight: 3,
    async run({ disk }, _, random) {
      if (!disk.isSmall) return false;
      disk.fill();
      await sleep(random.between(300, 2500));
      disk.free();
      return true;
    },
  },
};
