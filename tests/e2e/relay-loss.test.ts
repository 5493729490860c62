/** (c) The relay is killed while both type; (d) it comes back empty. */
import { expect, it } from "vitest";
import { countEach, createNote, goToEnd, openNote, shownText, waitForEqualTexts, waitForPart, waitForRelay, waitForText } from "./support/note.js";
import { World } from "./support/world.js";
import { beginWriting, endWriting, fates, readComments, waitForAccepted } from "./support/writers.js";

it("a relay killed while both type has everything that it accepted, once", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  const pages = await Promise.all([ann.start(), ben.start()]);
  const note = await createNote(pages[0], "Storm");
  await openNote(pages[1], "Storm");
  await beginWriting(pages[0], note, "a");
  await beginWriting(pages[1], note, "b");
  for (let kills = 1; kills <= 3; kills += 1) {
    const before = await Promise.all(pages.map(fates));
    await Promise.all(pages.map((page, index) => waitForAccepted(page, Object.keys(before[index]!.accepted).length + 40)));
    await world.relay.kill();
    await world.relay.start();
  }
  await Promise.all(pages.map(endWriting));
  await Promise.all(pages.map(waitForRelay));
  const ended = await Promise.all(pages.map(fates));
  expect(ended.flatMap(({ others }) => others)).toEqual([]);

  const third = await (await world.device("cleo")).start(`#/notes/${note}`);
  const tokens = ended.flatMap(({ written }) => written.filter((token) => !token.startsWith("comment ")));
  const text = await waitForEqualTexts([...pages, third], (text) => tokens.every((token) => text.includes(token)));
  expect(Object.entries(countEach(text, tokens)).filter(([, count]) => count !== 1)).toEqual([]);
  expect(text).toHaveLength(tokens.join("").length);

  const log = await readComments(third, note);
  const accepted = ended.flatMap(({ accepted }) => Object.entries(accepted).filter(([token]) => token.startsWith("comment ")));
  expect(log.map(({ id, text }) => `${id} ${text}`).sort()).toEqual(accepted.map(([token, id]) => `${id} ${token.slice("comment ".length)}`).sort());
  world.expectNoProblems();
});

it("a relay that comes back empty is healed by its devices, and a third one sees all", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  const pages = await Promise.all([ann.start(), ben.start()]);
  const note = await createNote(pages[0], "Fire");
  await openNote(pages[1], "Fire");
  await goToEnd(pages[0]);
  await pages[0].keyboard.type("from ann, ");
  await waitForPart(pages[1], "from ann, ");
  await goToEnd(pages[1]);
  await pages[1].keyboard.type("from ben.");
  await waitForText(pages[0], "from ann, from ben.");
  await Promise.all(pages.map(waitForRelay));
  await ben.stop(); // what he wrote must come back from Ann's device

  await world.relay.kill();
  await world.relay.loseData();
  await goToEnd(pages[0]);
  await pages[0].keyboard.type(" While it was away.");
  await world.relay.start();
  await waitForRelay(pages[0]);

  const third = await (await world.device("cleo")).start(`#/notes/${note}`);
  await waitForText(third, "from ann, from ben. While it was away.");
  await third.getByRole("link", { name: "Fire" }).waitFor();
  const back = await ben.start(`#/notes/${note}`);
  await waitForEqualTexts([pages[0], back, third], (text) => text === "from ann, from ben. While it was away.");
  await goToEnd(back);
  await back.keyboard.type(" All well.");
  await waitForText(third, "from ann, from ben. While it was away. All well.");
  expect(await shownText(pages[0])).toContain("from ben");
  world.expectNoProblems();
});
