/** (a) A keystroke reaches the other screen. */
import { expect, it } from "vitest";
import { createNote, goToEnd, openNote, savedBadge, waitForRelay, waitForText, textField } from "./support/note.js";
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
    window.e2e = { writes: [], times: [], stop: false };
    const { times } = window.e2e;
    addEventListener("keydown", () => times.push(performance.timeOrigin + performance.now()), { capture: true });
  });
  await benPage.evaluate(() => {
    window.e2e = { writes: [], times: [], stop: false };
    const { times } = window.e2e;
    const field = document.querySelector<HTMLTextAreaElement>("textarea.text")!;
    const look = (): void => {
      const now = performance.timeOrigin + performance.now();
      while (times.length < field.value.length) times.push(now);
      requestAnimationFrame(look);
    };
    look();
  });
  await goToEnd(annPage);
  await annPage.evaluate(() => window.e2e.times.splice(0));
  const accepted: number[] = [];
  let typed = "";
  for (let key = 0; key < KEYS; key += 1) {
    const letter = "abcdefghij"[key % 10]!;
    typed += letter;
    const answer = annPage.evaluate(() => new Promise<number>((resolve) => {
      const { status } = window.tidelogDemo.client;
      let hasBegun = false;
      const stop = status.subscribe(() => {
        const { savedOn } = status.getSnapshot();
        hasBegun ||= savedOn !== "relay";
        if (!hasBegun || savedOn !== "relay") return;
        stop();
        resolve(performance.timeOrigin + performance.now());
      });
    }));
    await textField(annPage).press(letter);
    accepted.push(await answer);
    await waitForText(benPage, typed);
  }
  const pressed = await annPage.evaluate(() => window.e2e.times);
  const shown = await benPage.evaluate(() => window.e2e.times);
  expect(pressed).toHaveLength(KEYS);
  expect(shown).toHaveLength(KEYS);
  report("key to the other screen", pressed.map((time, key) => shown[key]! - time));
  report("key to accepted", pressed.map((time, key) => accepted[key]! - time));
  expect(await savedBadge(annPage).textContent()).toBe("Saved on the relay");
  world.expectNoProblems();
});

function report(what: string, latencies: readonly number[]): void {
  const sorted = [...latencies].sort((a, b) => a - b);
  const at = (part: number): string => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!.toFixed(1);
  console.log(`${what}: median ${at(0.5)} ms, p99 ${at(0.99)} ms (${latencies.length} keys)`);
}
