/** A page that the relay does not let in is told so, with what to do about it. */
import { expect, it } from "vitest";
import { soon } from "./support/note.js";
import { World } from "./support/world.js";

it("a page of a foreign origin stops with access-denied, which names the origin, and has something to show at once", async () => {
  const world = await World.create();
  const ann = await world.device("ann");
  const page = await ann.start();
  const { port } = ann.cable;
  await page.goto(`http://localhost:${port}/?test&relay=ws://127.0.0.1:${port}/sync`);
  await soon(() => page.evaluate(() => window.tidelogDemo.client.status.getSnapshot().connection)).toMatchObject({
    state: "stopped",
    error: { code: "access-denied", message: `the relay does not let pages of http://localhost:${port} in: start it with --origin http://localhost:${port}` },
  });
  const seen = await page.evaluate(async () => {
    const { client, Note } = window.tidelogDemo;
    const note = client.document(Note, "notes/new");
    await note.ready;
    return note.status.getSnapshot().exists;
  });
  expect(seen).toBe("unknown");
  expect(world.relay.output).toContain(`refused a page of "http://localhost:${port}"`);
});
