/** (e) The browser is killed after `saved`; (f) a profile is rolled back, another one copied and both used. */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { createNote, goToEnd, openNote, textField, waitForEqualTexts, waitForPart, waitForRelay, waitForText } from "./support/note.js";
import { World } from "./support/world.js";

it("a write is there after the browser was killed right behind its saved, and reaches the relay", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  let page = await ann.start();
  const other = await ben.start();
  const note = await createNote(page, "Cliff");
  await openNote(other, "Cliff");
  await waitForRelay(page);
  let expected = "";
  for (let round = 0; round < 3; round += 1) {
    ann.cable.cut(); // only this device can have it
    const text = `kept ${round}. `;
    await page.evaluate(async ({ note, text }) => {
      const { client, Note } = window.tidelogDemo;
      const field = client.document(Note, `notes/${note}`).text(["text"]);
      await field.splice([{ index: field.getSnapshot()!.length, deleteCount: 0, insert: text }]).saved;
    }, { note, text });
    await ann.kill();
    expected += text;
    ann.cable.plug();
    page = await ann.start(`#/notes/${note}`);
    await waitForText(page, expected);
    await waitForText(other, expected);
  }
  await waitForRelay(page);
  world.expectNoProblems();
});

it("a profile that was rolled back is noticed: nothing is lost or doubled", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  let page = await ann.start();
  const other = await ben.start();
  const note = await createNote(page, "Backup");
  await openNote(other, "Backup");
  await typeAndShow(page, other, "Before the copy. ");
  await waitForRelay(page);
  await ann.stop();
  const copy = join(world.folder, "ann-copy");
  await ann.copyProfile(copy);

  page = await ann.start(`#/notes/${note}`);
  await typeAndShow(page, other, "After the copy. ");
  const before = await writeAndGetId(page, note, "With an id. ");
  await waitForRelay(page);
  await ann.stop();
  await ann.restoreProfile(copy);
  ann.cable.cut(); // it writes before it can learn what has happened
  page = await ann.start(`#/notes/${note}`);
  await waitForPart(page, "Before the copy. ");
  await goToEnd(page);
  await page.keyboard.type("After the restore. ");
  ann.cable.plug();
  const parts = ["Before the copy. ", "After the copy. ", "With an id. ", "After the restore. "];
  await expectOnceEach([page, other], parts);
  const after = await writeAndGetId(page, note, "Again. ");
  expect(producerOf(after)).not.toBe(producerOf(before)); // noticed: it goes on under a name of its own
  await expectOnceEach([page, other], [...parts, "Again. "]);
  await expectHealthy([page, other], note);
  world.expectNoProblems();
});

it("two copies of one profile, both typing into the same text: nothing is lost or doubled", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  let page = await ann.start();
  const other = await ben.start();
  const note = await createNote(page, "Twins");
  await openNote(other, "Twins");
  await typeAndShow(page, other, "One. ");
  await waitForRelay(page);
  await ann.stop();
  const twin = await world.clone(ann, "twin");

  page = await ann.start(`#/notes/${note}`);
  const twinPage = await twin.start(`#/notes/${note}`);
  const pages = [page, twinPage, other];
  await Promise.all([page, twinPage].map((each) => waitForPart(each, "One. ")));
  const parts = ["One. "];
  for (let round = 0; round < 3; round += 1) {
    await Promise.all([["first", page], ["second", twinPage]].map(async ([name, each]) => {
      await goToEnd(each as Page);
      await (each as Page).keyboard.type(`<${name as string}${round}>`);
    }));
    parts.push(`<first${round}>`, `<second${round}>`);
    await expectOnceEach(pages, parts, "as sets of letters");
  }
  const ids = [await writeAndGetId(page, note, "<last of first>"), await writeAndGetId(twinPage, note, "<last of second>")];
  expect(producerOf(ids[0]!)).not.toBe(producerOf(ids[1]!));
  await expectOnceEach(pages, [...parts, "<last of first>", "<last of second>"], "as sets of letters");
  await expectHealthy(pages, note);
  world.expectNoProblems();
});

async function typeAndShow(page: Page, other: Page, text: string): Promise<void> {
  await goToEnd(page);
  await page.keyboard.type(text);
  await waitForPart(other, text);
}

/** Writes at the end of the note and gives the id under which the relay has it. */
async function writeAndGetId(page: Page, note: string, text: string): Promise<string> {
  return page.evaluate(async ({ note, text }) => {
    const { client, Note } = window.tidelogDemo;
    const field = client.document(Note, `notes/${note}`).text(["text"]);
    return String(await field.splice([{ index: field.getSnapshot()!.length, deleteCount: 0, insert: text }]).accepted);
  }, { note, text });
}

/** The device's part of an event's id. */
function producerOf(id: string): string {
  return id.slice(0, id.lastIndexOf(":"));
}

/**
 * All pages show the same text, which consists of these parts. Where two type into the same place at the same moment,
 * their letters may stand among one another: then every letter is counted.
 */
async function expectOnceEach(pages: readonly Page[], parts: readonly string[], how: "whole" | "as sets of letters" = "whole"): Promise<void> {
  const length = parts.join("").length;
  const text = await waitForEqualTexts(pages, (text) => text.length >= length);
  if (how === "whole") for (const part of parts) expect(text.split(part)).toHaveLength(2);
  expect([...text].sort().join("")).toBe([...parts.join("")].sort().join(""));
}

/** Everything is on the relay, no stream has an error, no event had to be skipped. */
async function expectHealthy(pages: readonly Page[], note: string): Promise<void> {
  for (const page of pages) {
    await waitForRelay(page);
    const status = await page.evaluate((note) => {
      const { client, Note, Index } = window.tidelogDemo;
      return [client.document(Note, `notes/${note}`), client.document(Index, "notes/index")].map((document) => {
        const { phase, error, rejected } = document.status.getSnapshot();
        return { phase, error, rejected };
      });
    }, note);
    expect(status).toEqual([{ phase: "ready", error: null, rejected: 0 }, { phase: "ready", error: null, rejected: 0 }]);
    await textField(page).waitFor();
  }
}
