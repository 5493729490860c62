/** A new build of the demo: offered, taken by all tabs at once, and what was written is there. */
import { cp, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { createNote, goToEnd, soon, SOON_MS, waitForPart, waitForRelay } from "./support/note.js";
import { DEMO } from "./support/relay.js";
import { World } from "./support/world.js";

it("a new build is offered, and all tabs take it at once", async () => {
  const files = await mkdtemp(join(tmpdir(), "tidelog-e2e-files-"));
  onTestFinished(() => rm(files, { recursive: true }));
  await cp(DEMO, files, { recursive: true });
  const world = await World.create(files);
  const ann = await world.device("ann");
  const first = await ann.start();
  const note = await createNote(first, "Tower");
  await goToEnd(first);
  await first.keyboard.type("Old build. ");
  await waitForRelay(first);
  await first.waitForFunction(() => navigator.serviceWorker.controller?.state === "activated", null, { timeout: SOON_MS });
  const second = await ann.open(`#/notes/${note}`);
  await waitForPart(second, "Old build. ");
  expect(await first.getByText("A new version of this page is ready.").count()).toBe(0);

  await deployNextBuild(files);
  await first.evaluate(async () => {
    await (await navigator.serviceWorker.getRegistration())?.update(); // browsers look by themselves, now and then
  });
  await first.getByRole("button", { name: "Use it" }).click({ timeout: SOON_MS });
  for (const page of [first, second]) {
    await page.waitForFunction(() => document.title === "Tower – The next build", null, { timeout: SOON_MS });
    await waitForPart(page, "Old build. ");
  }
  await goToEnd(second);
  await second.keyboard.type("New build.");
  await waitForPart(first, "Old build. New build.");
  await waitForRelay(second);
  await soon(() => first.evaluate(async () => (await caches.keys()).length)).toBe(1);
  await soon(() => ann.cable.webSockets).toBe(1);
  world.expectNoProblems();
});

/** As a build with other code: other names of its files, another version of the service worker. */
async function deployNextBuild(files: string): Promise<void> {
  const assets = join(files, "assets");
  const code = (await readdir(assets)).filter((name) => name.endsWith(".js"));
  const renamed = (name: string): string => name.replace(/\.js$/, "2.js");
  for (const path of [...code.map((name) => join(assets, name)), join(files, "index.html"), join(files, "service-worker.js")]) {
    let text = await readFile(path, "utf8");
    for (const name of code) text = text.replaceAll(name, renamed(name));
    if (path.endsWith("index.html")) text = text.replace("<title>Tidelog notes</title>", "<title>The next build</title>");
    if (path.endsWith("service-worker.js")) text = text.replace(/[0-9a-f]{16}/, "0123456789abcdef");
    await writeFile(path, text);
  }
  for (const name of code) await rename(join(assets, name), join(assets, renamed(name)));
}
