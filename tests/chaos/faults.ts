/** Everything bad that a round does. Each fault undoes itself, so that nothing is left of it but its consequences. */
import type { Device } from "./device.js";
import { BROWSER_FAULTS } from "./faults/browser.js";
import { NETWORK_FAULTS } from "./faults/network.js";
import { RELAY_FAULTS } from "./faults/relay.js";
import type { Random } from "./random.js";
import type { World } from "./world.js";

export interface Fault {
  /** What it touches: two that touch the same happen one after the other. `network` and `browser` are one device's. */
  readonly touches: readonly ("relay" | "disk" | "network" | "browser")[];
  /** How often it is drawn. */
  readonly weight: number;
  /** Gives whether it happened: some have nothing to happen to just then. */
  run(world: World, device: Device, random: Random): Promise<boolean>;
}

export const FAULTS: Readonly<Record<string, Fault>> = { ...RELAY_FAULTS, ...NETWORK_FAULTS, ...BROWSER_FAULTS };
