/** (a) A keystroke reaches the other screen. */
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { createNote, goToEnd, openNote, savedBadge, soon, textField, waitForRelay, waitForText, waitForTimes } from "./support/note.js";
import { World } from "./support/world.js";

const KEYS = 200;

it("a keystroke reaches the other screen", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  const [annPage, benPage] = await Promise.all([ann.start(), ben.start()]);
  await createNote(annPage, "Tides");
  await openNote(benPage, "Tides");
  await waitForRelay(annPage);
  await waitForRelay(benPage);

  // Both pages note the time of what happens on their own screen; their clocks are this machine's.
  await annPage.evaluate(() => {
    const times = { pressed: [] as number[], accepted: [] as number[] };
    window.e2e = { writes: [], times, stop: false };
    const now = (): number => performance.timeOrigin + performance.now();
    addEventListener("keydown", ({ key }) => key.length === 1 && times.pressed.push(now()), { capture: true });
    const { status } = window.tidelogDemo.client;
    let isOpen = false;
    status.subscribe(() => {
      const { savedOn } = status.getSnapshot();
      if (isOpen && savedOn === "relay") times.accepted.push(now());
      isOpen = savedOn !== "relay";
    });
  });
  await benPage.evaluate(() => {
    const times = { shown: [] as number[] };
    window.e2e = { writes: [], times, stop: false };
    const field = document.querySelector<HTMLTextAreaElement>("textarea.text")!;
    const look = (): void => {
      const now = performance.timeOrigin + performance.now();
      while (times.shown.length < field.value.length) times.shown.push(now);
      requestAnimationFrame(look);
    };
    look();
  });
  await goToEnd(annPage);
  let typed = "";
  for (let key = 0; key < KEYS; key += 1) {
    const letter = "abcdefghij"[key % 10]!;
    typed += letter;
    await textField(annPage).press(letter);
    await waitForTimes(annPage, "accepted", typed.length);
    await waitForText(benPage, typed);
    await waitForTimes(benPage, "shown", typed.length); // a frame later than the text
  }
  const { pressed, accepted, shown } = { ...(await times(annPage)), ...(await times(benPage)) };
  expect([pressed!.length, accepted!.length, shown!.length]).toEqual([KEYS, KEYS, KEYS]); // one for each key, and none for anything else
  report("key to the other screen", pressed!.map((time, key) => shown![key]! - time));
  report("key to accepted", pressed!.map((time, key) => accepted![key]! - time));
  await soon(() => savedBadge(annPage).textContent()).toBe("Saved on the relay");
  world.expectNoProblems();
});

function times(page: Page): Promise<Window["e2e"]["times"]> {
  return page.evaluate(() => window.e2e.times);
}

function report(what: string, latencies: readonly number[]): void {
  const sorted = [...latencies].sort((a, b) => a - b);
  const at = (part: number): string => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!.toFixed(1);
  console.log(`${what}: median ${at(0.5)} ms, p99 ${at(0.99)} ms (${latencies.length} keys)`);
}
