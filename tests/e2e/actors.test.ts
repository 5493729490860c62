/** Pages come and go, and a document does not keep an Automerge actor of each. */
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { createNote, goToEnd, openNote, waitForLength, waitForRelay, waitForText } from "./support/note.js";
import { World } from "./support/world.js";

const LOADS = 8;

it("a note written over many page loads holds few Automerge actors, and reads the same elsewhere", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  let page = await ann.start();
  const other = await ben.start();
  const note = await createNote(page, "Loads");
  await waitForRelay(page);
  const before = await countActors(page, note);
  let text = "";
  for (let load = 0; load < LOADS; load += 1) {
    await page.reload();
    await waitForText(page, text);
    await waitForRelay(page);
    // The actor was asked for when the relay answered, and a page's questions are answered in turn.
    await page.evaluate(() => window.tidelogDemo.client.requestPersistence());
    await goToEnd(page);
    await page.keyboard.type(`${load} `);
    text += `${load} `;
    await waitForRelay(page);
  }
  await openNote(other, "Loads");
  await waitForText(other, text);
  const added = (await countActors(page, note)) - before;
  console.log(`${LOADS} page loads added ${added} actors`);
  expect(added).toBeLessThanOrEqual(3); // a page's number rests for 2 s, so quick reloads take turns
  const tab = await ann.open(`#/notes/${note}`);
  await waitForText(tab, text);
  await waitForRelay(tab);
  await Promise.all([page, tab].map(async (each, index) => {
    await goToEnd(each);
    await each.keyboard.type(`tab${index}.`);
  }));
  await Promise.all([page, tab, other].map((each) => waitForLength(each, text.length + 10)));
  const rejected = await page.evaluate(() => window.tidelogDemo.client.status.getSnapshot().rejected);
  expect(rejected).toBe(0);
  world.expectNoProblems();
});

/** How many actors the note's file names: its chunk holds them first, behind a header of nine bytes and its length. */
function countActors(page: Page, note: string): Promise<number> {
  return page.evaluate((note) => {
    const { client, Note } = window.tidelogDemo;
    const file = client.document(Note, `notes/${note}`).export();
    let at = 9;
    const unsigned = (): number => {
      let value = 0;
      for (let shift = 0; ; shift += 7) {
        const byte = file[at]!;
        at += 1;
        value += (byte & 0x7f) * 2 ** shift;
        if (byte < 0x80) return value;
      }
    };
    unsigned();
    return unsigned();
  }, note);
}
