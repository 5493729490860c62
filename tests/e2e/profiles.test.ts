/** (e) The browser is killed after `saved`; (f) a profile is rolled back, another one copied and both used. */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import type { Cable } from "./support/cable.js";
import { countEach, createNote, goToEnd, openNote, SOON_MS, textField, waitForDevice, waitForEqualTexts, waitForPart, waitForRelay, waitForText } from "./support/note.js";
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
  const { note, twins: [page, twinPage], pages, parts } = await startTwins(world);
  for (let round = 0; round < 3; round += 1) {
    // They begin with letters of their own: the same edit within one millisecond is one event (FINDINGS.md, open).
    await Promise.all(([["first", page], ["second", twinPage]] as const).map(async ([name, each]) => {
      await goToEnd(each);
      await each.keyboard.type(`${name}${round}. `);
    }));
    parts.push(`first${round}. `, `second${round}. `);
    await expectTwinsComplete([page, twinPage], pages, parts);
  }
  const ids = [await writeAndGetId(page, note, "<last of first>"), await writeAndGetId(twinPage, note, "<last of second>")];
  expect(producerOf(ids[0]!)).not.toBe(producerOf(ids[1]!));
  await expectOnceEach(pages, [...parts, "<last of first>", "<last of second>"], "as sets of letters");
  await expectHealthy(pages, note);
  world.expectNoProblems();
});

it.each(["", ", and are loaded again,"])("two copies of one profile that make the same edit in the same second%s have made it twice", async (loadedAgain) => {
  const world = await World.create();
  const { twins, pages, parts, cable } = await startTwins(world);
  for (const each of twins) {
    await waitForRelay(each);
    await each.evaluate(() => window.tidelogDemo.client.requestPersistence()); // answered behind the lease of the copied actor
    await goToEnd(each);
  }
  cable.cut(); // neither learns of the other before both have written
  await twins[0].waitForTimeout(1000 - (Date.now() % 1000)); // a second begins: their changes have one time
  for (const each of twins) {
    await each.keyboard.type("=");
    await waitForDevice(each); // so not both in one millisecond, which makes one event (FINDINGS.md, open)
  }
  if (loadedAgain !== "") await Promise.all(twins.map((each) => each.reload()));
  await Promise.all(twins.map((each) => waitForPart(each, "=")));
  cable.plug();
  const refused = await expectTwinsComplete(twins, pages, [...parts, "=", "="]);
  expect(refused).toBe(1); // for whoever came second
  world.expectNoProblems();
});

/** A note on two copies of one profile and on another device, with what stands in it. `cable` is that of the copies. */
async function startTwins(world: World): Promise<{ note: string; twins: readonly [Page, Page]; pages: readonly Page[]; parts: string[]; cable: Cable }> {
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  const first = await ann.start();
  const other = await ben.start();
  const note = await createNote(first, "Twins");
  await openNote(other, "Twins");
  await typeAndShow(first, other, "One. ");
  await waitForRelay(first);
  await ann.stop();
  const twin = await world.clone(ann, "twin");
  const twins = [await ann.start(`#/notes/${note}`), await twin.start(`#/notes/${note}`)] as const;
  await Promise.all(twins.map((each) => waitForPart(each, "One. ")));
  return { note, twins, pages: [...twins, other], parts: ["One. "], cable: ann.cable };
}

/**
 * All pages show these parts in the end. The twins may have written under the actor of the copied profile before one of
 * them learned of the other: such an edit is refused, and made again here, once, as a person would. Gives how many were.
 */
async function expectTwinsComplete(twins: readonly Page[], pages: readonly Page[], parts: readonly string[]): Promise<number> {
  const retried = new Set<string>();
  await waitForEqualTexts(pages, (text) => isMadeOf(text, parts), async () => {
    for (const page of twins) {
      const again = await page.evaluate(async (known) => {
        const open = window.tidelogDemo.client.rejections.getSnapshot().filter(({ stream, id }) => !known.includes(`${stream} ${id}`));
        for (const rejection of open) await rejection.retry().saved;
        return open.map(({ stream, id, code }) => ({ key: `${stream} ${id}`, code }));
      }, [...retried]);
      for (const { key, code } of again) {
        // The second: what was made on top of such an edit.
        expect(["profile-copied", "depends-on-rejected"]).toContain(code);
        retried.add(key);
      }
    }
  });
  return retried.size;
}

async function typeAndShow(page: Page, other: Page, text: string): Promise<void> {
  await goToEnd(page);
  await page.keyboard.type(text);
  await waitForPart(other, text);
}

/** Writes at the end of the note and gives the id under which the relay has it. */
async function writeAndGetId(page: Page, note: string, text: string): Promise<string> {
  return page.evaluate(async ({ note, text, soonMs }) => {
    const { client, Note } = window.tidelogDemo;
    const field = client.document(Note, `notes/${note}`).text(["text"]);
    const write = field.splice([{ index: field.getSnapshot()!.length, deleteCount: 0, insert: text }]);
    const late = new Promise((_, fail) => setTimeout(() => fail(new Error(`not accepted in time: ${JSON.stringify(write.getSnapshot())}`)), soonMs));
    return String(await Promise.race([write.accepted, late]));
  }, { note, text, soonMs: SOON_MS });
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
  const text = await waitForEqualTexts(pages, (text) => isMadeOf(text, parts));
  if (how === "whole") expect(Object.entries(countEach(text, parts)).filter(([, count]) => count !== 1)).toEqual([]);
}

/** It has the letters of these parts, each as often as they have it. */
function isMadeOf(text: string, parts: readonly string[]): boolean {
  return [...text].sort().join("") === [...parts.join("")].sort().join("");
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
