/** Draws a round from its seed. */
import { FAULTS } from "./faults.js";
import { Random } from "./random.js";
import type { Plan } from "./world.js";

/** `only`: names of faults, if not all of them are to happen. */
export function drawPlan(seed: number, only: readonly string[] | null): Plan {
  const random = new Random(seed);
  const names = only ?? Object.keys(FAULTS);
  const drawn = names.flatMap((name) => Array.from({ length: FAULTS[name]?.weight ?? 0 }, () => name));
  const devices = Array.from({ length: random.below(3) === 0 ? 3 : 2 }, (_, index) => ({ name: "abc"[index]!, tabs: random.below(3) === 0 ? 2 : 1 }));
  const chaosMs = random.between(5000, 8000);
  const faults = Array.from({ length: random.between(6, 12) }, () => ({
    at: random.below(chaosMs),
    name: random.pick(drawn),
    device: random.below(devices.length),
    seed: random.below(1 << 30),
  }));
  return {
    seed,
    devices,
    everyMs: random.between(60, 160),
    chaosMs,
    isImpatient: random.below(4) > 0,
    faults: faults.sort((a, b) => a.at - b.at),
  };
}
