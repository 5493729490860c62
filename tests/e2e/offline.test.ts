/** (b) Both write offline and reload, or begin offline; (h) the demo opens with neither relay nor network. */
import { expect, it } from "vitest";
import { countEach, createNote, goToEnd, openNote, savedBadge, shownText, soon, SOON_MS, textField, waitForDevice, waitForEqualTexts, waitForPart, waitForRelay } from "./support/note.js";
import { World } from "./support/world.js";

/** 500 keys: words that occur nowhere else. */
const words = (name: string): readonly string[] => Array.from({ length: 100 }, (_, index) => `${name}${String(index).padStart(3, "0")} `);

it("what both wrote offline, before and after a reload, is on both screens in the end", async () => {
  const world = await World.create();
  const devices = [await world.device("ann"), await world.device("ben")] as const;
  const pages = await Promise.all(devices.map((device) => device.start()));
  const [annPage, benPage] = pages as [typeof pages[0], typeof pages[0]];
  const note = await createNote(annPage, "Tunnel");
  await openNote(benPage, "Tunnel");
  await goToEnd(annPage);
  await annPage.keyboard.type("Begin. ");
  await waitForPart(benPage, "Begin. ");
  await Promise.all(pages.map(waitForOfflineUse));

  for (const { cable } of devices) cable.cut();
  const mine = [words("a"), words("b")] as const;
  await Promise.all(pages.map(async (page, index) => {
    await goToEnd(page);
    await page.keyboard.type(mine[index]!.join(""));
    await waitForDevice(page);
    await soon(() => savedBadge(page).textContent()).toBe("Saved on this device");
    await page.reload();
    await textField(page).waitFor();
    await waitForPart(page, mine[index]!.at(-1)!);
    expect(Object.entries(countEach(await shownText(page), mine[index]!)).filter(([, count]) => count !== 1)).toEqual([]);
    await goToEnd(page);
    await page.keyboard.type(`${["a", "b"][index]!}-end `);
  }));
  expect(await shownText(annPage)).not.toContain("b000");

  for (const { cable } of devices) cable.plug();
  const all = ["Begin. ", ...mine.flat(), "a-end ", "b-end "];
  const text = await waitForEqualTexts(pages, (text) => all.every((word) => text.includes(word)));
  expect(text).toHaveLength(all.join("").length); // each word once, and nothing else
  await Promise.all(pages.map(waitForRelay));

  const third = await (await world.device("cleo")).start(`#/notes/${note}`);
  await waitForEqualTexts([annPage, third]);
  world.expectNoProblems();
});

it("notes that both made offline, in a list that nobody had begun, are in both lists", async () => {
  const world = await World.create();
  const devices = [await world.device("ann"), await world.device("ben")];
  const pages = await Promise.all(devices.map((device) => device.start()));
  await Promise.all(pages.map((page) => page.getByText("No notes yet.").waitFor({ timeout: SOON_MS })));
  for (const { cable } of devices) cable.cut();
  await Promise.all(pages.map(async (page, index) => {
    await createNote(page, `Made by ${index}`);
    await goToEnd(page);
    await page.keyboard.type(`Text of ${index}`);
    await waitForDevice(page);
  }));
  for (const { cable } of devices) cable.plug();
  for (const page of pages) {
    for (const [index] of pages.entries()) {
      await openNote(page, `Made by ${index}`);
      await waitForPart(page, `Text of ${index}`);
    }
    await soon(() => page.locator(".row").count()).toBe(2);
  }
  await Promise.all(pages.map(waitForRelay));
  world.expectNoProblems();
});

it("the demo opens with the relay down and no network", async () => {
  const world = await World.create();
  const ann = await world.device("ann");
  let page = await ann.start();
  const note = await createNote(page, "Ferry");
  await goToEnd(page);
  await page.keyboard.type("Written at the pier.");
  await waitForRelay(page);
  await waitForOfflineUse(page);
  await ann.stop();
  await world.relay.kill();
  ann.cable.cut();

  page = await ann.start(`#/notes/${note}`);
  await ann.setNoNetwork();
  await page.reload();
  await waitForPart(page, "Written at the pier.");
  await goToEnd(page);
  await page.keyboard.type(" And at sea.");
  await page.getByText("Saved on this device").first().waitFor({ timeout: SOON_MS });
  await page.reload();
  await waitForPart(page, "Written at the pier. And at sea.");
  await page.getByRole("link", { name: "Ferry" }).waitFor();
  world.expectNoProblems();
});

/** The demo's own files are kept, and this page is served from them from now on. */
async function waitForOfflineUse(page: Awaited<ReturnType<Awaited<ReturnType<World["device"]>>["start"]>>): Promise<void> {
  await page.waitForFunction(() => navigator.serviceWorker.controller?.state === "activated", null, { timeout: SOON_MS });
}
