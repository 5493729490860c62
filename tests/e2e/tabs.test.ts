/** (g) Two tabs share one engine. */
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, it, onTestFinished } from "vitest";
import { createNote, goToEnd, openNote, soon, waitForRelay, waitForText } from "./support/note.js";
import { DEMO } from "./support/relay.js";
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

it("two tabs, loaded again one by one after the browser has cleared the site's data, have what the relay has", async () => {
  // Without a service worker, whose end would load both tabs again at once.
  const files = await mkdtemp(join(tmpdir(), "tidelog-e2e-files-"));
  onTestFinished(() => rm(files, { recursive: true }));
  await cp(DEMO, files, { recursive: true, filter: (path) => !path.endsWith("service-worker.js") });
  const world = await World.create(files);
  const ann = await world.device("ann");
  const first = await ann.start();
  const note = await createNote(first, "Cleared");
  await goToEnd(first);
  await first.keyboard.type("kept ");
  await waitForRelay(first);
  const second = await ann.open(`#/notes/${note}`);
  await waitForText(second, "kept ");
  const session = await first.context().newCDPSession(first);
  await session.send("Storage.clearDataForOrigin", { origin: new URL(first.url()).origin, storageTypes: "all" });
  // A worker lives as long as one of its tabs does: the one that is loaded first meets what the other still has.
  await first.reload();
  await waitForText(first, "kept ");
  await soon(() => connectionOf(second)).toMatchObject({ state: "stopped", error: { code: "storage-lost" } });
  await second.reload();
  await waitForText(second, "kept ");
  await goToEnd(second);
  await second.keyboard.type("and more");
  await waitForText(first, "kept and more");
  world.expectNoProblems();
});

const connectionOf = (page: Page): Promise<unknown> => page.evaluate(() => window.tidelogDemo.client.status.getSnapshot().connection);
