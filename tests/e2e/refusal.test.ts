/** A comment with the word that the relay refuses is undone, explained, survives a reload, and can be corrected. */
import type { Locator, Page } from "playwright-core";
import { expect, it } from "vitest";
import { createNote, openNote, soon, SOON_MS, waitForRelay, waitInPage } from "./support/note.js";
import { World } from "./support/world.js";

const REASON = "This relay does not take comments with the word “spam”.";

it("a refused comment is undone and explained, survives a reload, and can be corrected", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  const [page, other] = await Promise.all([ann.start(), ben.start()]);
  await createNote(page, "Harbour");
  await openNote(other, "Harbour");
  await waitForRelay(page);

  ann.cable.cut();
  await say(page, "Fresh fish");
  await say(page, "Buy spam now");
  await say(page, "Still here");
  await expectComments(page, ["Fresh fish", "Buy spam now", "Still here"]); // shown at once, marked as not confirmed
  await soon(() => page.getByText("not on the relay yet").count()).toBe(3);
  ann.cable.plug();
  await reason(page).waitFor({ timeout: SOON_MS });
  await expectComments(page, ["Fresh fish", "Still here"]); // what stood behind it was not held up
  await expectComments(other, ["Fresh fish", "Still here"]);
  await page.getByRole("button", { name: "1 refused" }).waitFor();

  await page.reload();
  await reason(page).waitFor({ timeout: SOON_MS });
  await expectComments(page, ["Fresh fish", "Still here"]);
  const correction = comments(page).getByLabel("Your comment, to correct");
  expect(await correction.inputValue()).toBe("Buy spam now");

  const [before] = await refusedIds(page);
  await comments(page).getByRole("button", { name: "Try again" }).click(); // unchanged: refused again, and still one entry
  await waitInPage(page, (before) => {
    const ids = window.tidelogDemo.client.rejections.getSnapshot().map(({ id }) => String(id));
    return ids.length === 1 && ids[0] !== before;
  }, before);
  await expectComments(page, ["Fresh fish", "Still here"]);
  await soon(() => reason(page).count()).toBe(1);

  await correction.fill("Buy mackerel now");
  await comments(page).getByRole("button", { name: "Send corrected" }).click();
  await expectComments(other, ["Fresh fish", "Still here", "Buy mackerel now"]);
  await reason(page).waitFor({ state: "detached", timeout: SOON_MS });
  await page.getByRole("button", { name: "1 refused" }).waitFor({ state: "detached", timeout: SOON_MS });

  await say(page, "More spam");
  await comments(page).getByRole("button", { name: "Forget it" }).click({ timeout: SOON_MS });
  await reason(page).waitFor({ state: "detached", timeout: SOON_MS });
  await page.reload();
  await expectComments(page, ["Fresh fish", "Still here", "Buy mackerel now"]);
  await waitForRelay(page);
  expect(await refusedIds(page)).toEqual([]);
  await soon(() => reason(page).count()).toBe(0);
  world.expectNoProblems();
});

const comments = (page: Page): Locator => page.getByRole("region", { name: "Comments" });
const reason = (page: Page): Locator => comments(page).getByText(REASON);

it("refused comments of two notes are told apart", async () => {
  const world = await World.create();
  const page = await (await world.device("ann")).start();
  // Each is the first event of its stream: within its stream only is a number unique.
  for (const title of ["East", "West"]) {
    await createNote(page, title);
    await say(page, `Spam from ${title}`);
    await reason(page).waitFor({ timeout: SOON_MS });
  }
  await page.getByRole("button", { name: "2 refused" }).click();
  const listed = page.getByRole("dialog", { name: "Refused by the relay" }).getByLabel("Your comment, to correct");
  await soon(() => listed.evaluateAll((fields) => fields.map((field) => (field as HTMLInputElement).value).sort())).toEqual(["Spam from East", "Spam from West"]);
  await page.getByRole("button", { name: "Close" }).click();
  await comments(page).getByRole("button", { name: "Forget it" }).click();
  await page.getByRole("button", { name: "1 refused" }).waitFor({ timeout: SOON_MS });
  await openNote(page, "East");
  await soon(() => comments(page).getByLabel("Your comment, to correct").inputValue()).toBe("Spam from East");
  await page.reload();
  await page.getByRole("button", { name: "1 refused" }).waitFor({ timeout: SOON_MS });
  await soon(() => comments(page).getByLabel("Your comment, to correct").inputValue()).toBe("Spam from East");
  world.expectNoProblems();
});

async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel("Comment", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
}

async function expectComments(page: Page, texts: readonly string[]): Promise<void> {
  await soon(() => page.locator(".comment-body").allTextContents()).toEqual(texts);
}

function refusedIds(page: Page): Promise<readonly string[]> {
  return page.evaluate(() => window.tidelogDemo.client.rejections.getSnapshot().map(({ id }) => String(id)));
}
