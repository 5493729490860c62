/** Documents and what is large: a megabyte goes through, and what no event can hold is kept and said. */
import * as Automerge from "@automerge/automerge";
import type { Page } from "playwright-core";
import { expect, it } from "vitest";
import { soon, waitForRelay } from "./support/note.js";
import { World } from "./support/world.js";

it("a megabyte pasted between two other edits of a frame arrives whole on another device", async () => {
  const world = await World.create();
  const [ann, ben] = [await world.device("ann"), await world.device("ben")];
  const [page, other] = await Promise.all([ann.start(), ben.start()]);
  const accepted = await page.evaluate(async () => {
    const { client, Note } = window.tidelogDemo;
    const note = client.document(Note, "notes/large");
    note.keepOpen();
    await note.ready;
    const edits = ["before ", "lorem ipsu".repeat(100_000), " after"];
    const writes = edits.map((text) => note.change((d) => { d.text += text; }));
    return Promise.all(writes.map((write) => write.accepted));
  });
  expect(accepted).not.toContain(null);
  const shown = (): Promise<string> => other.evaluate(() => {
    const { client, Note } = window.tidelogDemo;
    const note = client.document(Note, "notes/large");
    note.keepOpen();
    const text = note.getSnapshot()?.text ?? "";
    return `${text.length} ${text.slice(0, 17)} ... ${text.slice(-16)}`;
  });
  await soon(shown).toBe("1000013 before lorem ipsu ... lorem ipsu after");
  world.expectNoProblems();
});

it("a change of a file that no event can hold waits among the rejections, also after a reload", async () => {
  const world = await World.create();
  const ann = await world.device("ann");
  const page = await ann.start();
  const file = Automerge.save(Automerge.from({ text: "lorem ipsu".repeat(47_000) })); // one change
  const failed = await page.evaluate(async (bytes) => {
    const { client, Note } = window.tidelogDemo;
    const note = client.document(Note, "notes/file");
    note.keepOpen();
    await note.ready;
    const file = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    return note.import(file).saved.then(() => "saved", ({ code, message }: { code: string; message: string }) => `${code}: ${message}`);
  }, Buffer.from(file).toString("base64"));
  expect(failed).toMatch(/^too-large: the event has 470\d{3} bytes, and an event has at most 458752/);
  const expected = [{ kind: "change", code: "too-large", stream: "notes/file" }];
  await soon(() => rejections(page)).toMatchObject(expected);
  await page.reload();
  await soon(() => rejections(page)).toMatchObject(expected);
  await waitForRelay(page); // it holds nothing up
  expect(await page.evaluate(() => window.tidelogDemo.client.status.getSnapshot().rejected)).toBe(1);
  world.expectNoProblems();
});

function rejections(page: Page): Promise<{ kind: string; code: string; stream: string }[]> {
  return page.evaluate(() => window.tidelogDemo.client.rejections.getSnapshot().map(({ kind, code, stream }) => ({ kind, code, stream })));
}
