import { expect, test } from "vitest";
import type { EngineLogEvent, EngineLogPage } from "../src/engine/engine.js";
import { LogReader } from "../src/stream/reader.js";

const event = (offset: number): EngineLogEvent => ({ id: `p:${offset}`, offset, kind: 1, time: 0, author: null, payload: new Uint8Array(), causes: {} });
const page = (epoch: string, after: number, upto: number, more: boolean): EngineLogPage => ({
  epoch, after, upto, more, check: "", events: Array.from({ length: upto - after }, (_, index) => event(after + index + 1)),
});

/** Reads with an engine that answers with these pages, the last one again and again; tells what happened. */
async function read(...pages: readonly EngineLogPage[]): Promise<readonly string[]> {
  const told: string[] = [];
  const left = [...pages];
  await new Promise<void>((resolve) => {
    const reader = new LogReader(async () => (left.length > 1 ? left.shift()! : left[0]!), {
      onEvents: (epoch, events) => told.push(`${epoch} ${events.map(({ offset }) => offset).join(" ")}`),
      onSnapshot: (snapshot, offset) => told.push(`snapshot of ${snapshot.byteLength} bytes at ${offset}`),
      onReset: () => told.push("reset"),
      onCaughtUp: () => resolve(),
      onError: (cause) => {
        told.push((cause as Error).message);
        resolve();
      },
    });
    reader.start();
  });
  return told;
}

test("a log that is replaced while its first page is read is read from its start", async () => {
  expect(await read(page("new", 0, 0, true), page("new", 0, 2, false))).toEqual(["new 1 2"]);
});

test("a log that is replaced between two pages is read again", async () => {
  expect(await read(page("old", 0, 2, true), page("new", 0, 0, true), page("new", 0, 0, true), page("new", 0, 1, false))).toEqual(["old 1 2", "reset", "new 1"]);
});

test("an engine that always has more and gives nothing is at fault", async () => {
  expect(await read(page("new", 0, 0, true))).toEqual(["the local log says that it has more and gives nothing"]);
});

test("a log that begins with a snapshot is told with it", async () => {
  const first = { ...page("one", 3, 3, true), snapshot: new Uint8Array(5) };
  expect(await read(first, page("one", 3, 5, false))).toEqual(["snapshot of 5 bytes at 3", "one 4 5"]);
});
