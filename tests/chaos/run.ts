/** `cargo xtask chaos`: rounds of real processes under faults, one after the other, each drawn from its seed. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { FAULTS } from "./faults.js";
import { drawPlan } from "./plan.js";
import { Disk } from "./relay.js";
import { runRound } from "./round.js";
import { Site } from "./site.js";
import { World } from "./world.js";

/** Lines of a failed round's timeline that are printed. */
const TIMELINE_LINES = 60;
/** A round that takes longer to heal, in ms, shows its timeline too. */
const SLOW_MS = 12_000;
/** Of so many rounds each fault that was drawn must have happened once, or what they say of it is nothing. */
const ROUNDS_OF_ALL = 20;

const { values } = parseArgs({
  options: { rounds: { type: "string" }, seed: { type: "string" }, minutes: { type: "string" }, faults: { type: "string" } },
});
const only = values.faults?.split(",") ?? null;
const unknown = only?.find((name) => FAULTS[name] === undefined);
if (unknown !== undefined) throw new Error(`there is no fault ${unknown}, only ${Object.keys(FAULTS).join(", ")}`);
const rounds = Number(values.rounds ?? (values.minutes === undefined ? 10 : Infinity));
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed);
const endAt = values.minutes === undefined ? Infinity : Date.now() + Number(values.minutes) * 60_000;

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stop.abort());

const drawn = new Set<string>();
const happened = new Set<string>();

/** One round in a folder of its own. Gives whether it was green; then nothing is left of it. */
async function round(folder: string, seed: number, site: Site, disk: Disk): Promise<boolean> {
  const plan = drawPlan(seed, only);
  for (const { name } of plan.faults) drawn.add(name);
  const world = new World(folder, plan, site, disk, stop.signal);
  const start = Date.now();
  let problems: readonly string[];
  let figures = "";
  let healMs = 0;
  try {
    const outcome = await runRound(world);
    ({ problems, healMs } = outcome);
    for (const name of Object.keys(outcome.faults)) happened.add(name);
    const list = (counts: Readonly<Record<string, number>>): string => Object.entries(counts).map(([name, count]) => `${name} ${count}`).join(", ") || "none";
    figures = `healed in ${(healMs / 1000).toFixed(1)} s; writes ${outcome.writes}, saved ${outcome.saved}, accepted ${outcome.accepted}, `
      + `rejected ${outcome.rejected}; excused: ${list(outcome.excused)}; faults: ${list(outcome.faults)}`;
  } catch (cause) {
    problems = [cause instanceof Error ? (cause.stack ?? cause.message) : String(cause), ...world.problems];
  } finally {
    await world.end();
  }
  if (stop.signal.aborted) return true;
  const seconds = ((Date.now() - start) / 1000).toFixed(1);
  const devices = plan.devices.map(({ name, tabs }) => `${name}${tabs > 1 ? ` (${tabs} tabs)` : ""}`).join(", ");
  console.log(`seed ${seed}: ${problems.length === 0 ? "green" : "FAILED"}, ${seconds} s; ${devices}; ${figures}`);
  if (problems.length > 0 || healMs > SLOW_MS) {
    const lines = readFileSync(join(folder, "timeline.txt"), "utf8").trimEnd().split("\n");
    console.log(lines.slice(-TIMELINE_LINES).map((line) => `  ${line.slice(0, 300)}`).join("\n"));
  }
  if (problems.length === 0) {
    rmSync(world.relay.folder, { recursive: true, force: true });
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    return true;
  }
  world.keepStore();
  for (const problem of problems.slice(0, 20)) console.log(`  PROBLEM ${problem.slice(0, 2000)}`);
  console.log(`  ${problems.length} problems; ledger, timeline, profiles and the relay's store are in ${folder}\n  again: cargo xtask chaos --rounds 1 --seed ${seed}${only === null ? "" : ` --faults ${only.join(",")}`}`);
  return false;
}

async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "tidelog-chaos-"));
  const site = await Site.open(fileURLToPath(new URL("../page", import.meta.url)));
  const disk = new Disk(join(folder, "relay-disk"));
  console.log(`seeds from ${firstSeed} on${disk.isSmall ? "" : "; the relay's disk is never full: a small one needs Linux and root"}`);
  let [green, failed] = [0, 0];
  try {
    for (let index = 0; index < rounds && Date.now() < endAt && !stop.signal.aborted; index += 1) {
      const seed = firstSeed + index;
      if (await round(join(folder, `round-${seed}`), seed, site, disk)) green += stop.signal.aborted ? 0 : 1;
      else failed += 1;
    }
  } finally {
    await site.close();
    disk.remove();
    if (failed === 0) rmSync(folder, { recursive: true, force: true });
  }
  console.log(`${green} rounds green, ${failed} failed${stop.signal.aborted ? ", stopped" : ""}`);
  if (stop.signal.aborted) return 130;
  const isExcused = (fault: string): boolean => fault === "disk-full" && !disk.isSmall;
  const never = [...drawn].filter((fault) => !happened.has(fault) && !isExcused(fault));
  const isBlind = green + failed >= ROUNDS_OF_ALL && never.length > 0;
  if (isBlind) console.log(`drawn, and never happened: ${never.join(", ")}`);
  return failed === 0 && !isBlind ? 0 : 1;
}

process.exitCode = await main();
