/** (g) Two tabs share one engine. */
import { expect, it } from "vitest";
import { createNote, goToEnd, openNote, soon, waitForRelay, waitForText } from "./support/note.js";
import { World } from "./support/world.js";

it("two tabs have one socket and one writer, and both are live", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  const first = await ann.start();
  const other = await ben.start();
  const note = await createNote(first, "Tabs");
  await openNote(other, "Tabs");
  const second = await ann.open(`#/notes/${note}`);
  await goToEnd(first);
  await first.keyboard.type("left ");
  await waitForText(second, "left ");
  await goToEnd(second);
  await second.keyboard.type("right ");
  await Promise.all([first, other].map((page) => waitForText(page, "left right ")));
  await goToEnd(other);
  await other.keyboard.type("far");
  await Promise.all([first, second].map((page) => waitForText(page, "left right far")));
  await soon(() => ann.cable.webSockets).toBe(1);
  await soon(() => ben.cable.webSockets).toBe(1);

  // The lock says who may write, and it is one; both tabs live on when the one that began is gone.
  const writers = await second.evaluate(async () => (await navigator.locks.query()).held?.filter(({ name }) => name?.startsWith("tidelog:")).length);
  expect(writers).toBe(1);
  await first.close();
  await goToEnd(second);
  await second.keyboard.type(" away");
  await waitForText(other, "left right far away");
  await waitForRelay(second);
  await soon(() => ann.cable.webSockets).toBe(1);
  world.expectNoProblems();
});
