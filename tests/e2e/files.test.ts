/** Automerge files from outside, honest and bent: read in a worker, so that what breaks there breaks nothing here. */
import { expect, it } from "vitest";
import { World } from "./support/world.js";

it("a note is imported from a file, and a bent file is refused and disturbs no document", async () => {
  const world = await World.create();
  const ann = await world.device("ann");
  const page = await ann.start();
  const seen = await page.evaluate(async () => {
    const { client, Note } = window.tidelogDemo;
    const [one, two] = [client.document(Note, "notes/one"), client.document(Note, "notes/two")];
    one.keepOpen();
    two.keepOpen();
    await Promise.all([one.ready, two.ready]);
    await one.change((d) => { d.text = "from one"; }).saved;
    const file = one.export();
    await two.import(file).saved;
    const imported = two.getSnapshot()!.text;
    const outcomes = new Set<string>();
    for (let round = 0; round < 40; round += 1) {
      const bent = file.slice();
      bent[12 + ((round * 7) % (bent.length - 12))]! ^= 1 << (round % 8);
      const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bent.slice(8)));
      bent.set(hash.slice(0, 4), 4); // a right checksum: what is wrong lies inside
      await two.import(bent).saved.then(() => outcomes.add("imported"), (error: { code: string }) => outcomes.add(error.code));
    }
    await two.change((d) => { d.text = "still works"; }).saved;
    return { imported, outcomes: [...outcomes], one: one.getSnapshot()!.text, two: two.getSnapshot()!.text, phase: two.status.getSnapshot().phase };
  });
  expect(seen.outcomes).toContain("invalid-value");
  expect(seen.outcomes.filter((outcome) => outcome !== "imported" && outcome !== "invalid-value")).toEqual([]);
  expect(seen).toMatchObject({ imported: "from one", one: "from one", two: "still works", phase: "ready" });
  world.expectNoProblems();
});
