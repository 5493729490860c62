/** The cursor over a log: no gap, no repeat, whatever order pages and batches come in. */
import { expect, test } from "vitest";
import type { EngineApplied, EngineLogEvent, EngineLogPage } from "../src/engine/engine.js";
import { LogReader } from "../src/stream/reader.js";
import { checkOf } from "./fake-engine.js";

const event = (offset: number): EngineLogEvent => ({ id: `x:${offset}`, offset, kind: 1, time: 0, author: null, payload: new Uint8Array(), causes: {} });

/** A log of which reads are answered when the test says so. */
function scene(length: number, pageLength = 3) {
  let epoch = "e";
  let end = length;
  const got: (number | string)[] = [];
  const waiting: (() => void)[] = [];
  const read = (after: number): Promise<EngineLogPage> => {
    const from = after > end ? 0 : after;
    const upto = Math.min(end, from + pageLength);
    const page = { epoch, after: from, upto, check: checkOf(upto), more: upto < end, events: Array.from({ length: upto - from }, (_, n) => event(from + 1 + n)) };
    return new Promise((resolve) => waiting.push(() => resolve(page)));
  };
  const reader = new LogReader(read, {
    onEvents: (_epoch, events) => got.push(...events.map(({ offset }) => offset!)),
    onReset: () => got.push("reset"),
    onCaughtUp: () => got.push("caught up"),
    onError: (cause) => got.push(String(cause)),
  });
  const answer = async (): Promise<void> => {
    waiting.shift()?.();
    await Promise.resolve().then(() => undefined).then(() => undefined);
  };
  const commit = (count: number): EngineApplied => {
    const after = end;
    end += count;
    return { type: "applied", stream: "s", epoch, after, upto: end, check: checkOf(end), events: Array.from({ length: count }, (_, n) => event(after + 1 + n)) };
  };
  const replace = (name: string, count: number): void => {
    epoch = name;
    end = count;
  };
  return { reader, got, waiting, answer, commit, replace };
}

test("pages, then batches, without a seam", async () => {
  const { reader, got, answer, commit } = scene(4);
  reader.start();
  await answer();
  reader.applied(commit(2)); // while it reads: it is read, not taken
  await answer(); // made before that batch
  await answer();
  expect(got).toEqual([1, 2, 3, 4, 5, 6, "caught up"]);
  reader.applied(commit(1));
  expect(got.slice(7)).toEqual([7, "caught up"]);
});

test("a batch that does not follow is the reason to read, never a gap", async () => {
  const { reader, got, answer, commit } = scene(2);
  reader.start();
  await answer();
  commit(2); // one that the page was not told
  reader.applied(commit(1));
  expect(got).toEqual([1, 2, "caught up"]);
  await answer();
  expect(got).toEqual([1, 2, "caught up", 3, 4, 5, "caught up"]);
});

test("what is told to have grown is read; what was promised and never came does not spin", async () => {
  const { reader, got, answer, waiting, commit } = scene(1);
  reader.start();
  await answer();
  commit(1);
  reader.grown("e", 9);
  await answer();
  await answer();
  expect(got).toEqual([1, "caught up", 2, "caught up"]);
  expect(waiting).toHaveLength(0);
});

test("another log, told or found out: everything before is void", async () => {
  const { reader, got, answer, commit, replace } = scene(2);
  reader.start();
  await answer();
  replace("f", 1);
  reader.reset();
  await answer();
  expect(got).toEqual([1, 2, "caught up", "reset", 1, "caught up"]);
  replace("g", 3);
  reader.applied(commit(1));
  await answer();
  await answer();
  await answer();
  expect(got.slice(6)).toEqual(["reset", 1, 2, 3, 4, "caught up"]);
});

test("a page of the old log that arrives after a reset is thrown away", async () => {
  const { reader, got, answer, replace } = scene(5);
  reader.start();
  await answer();
  replace("f", 2);
  reader.reset();
  await answer();
  await answer();
  expect(got).toEqual([1, 2, 3, "reset", 1, 2, "caught up"]);
});

test("a closed reader is told nothing more", async () => {
  const { reader, got, answer, commit } = scene(5);
  reader.start();
  reader.close();
  await answer();
  reader.applied(commit(1));
  expect(got).toEqual([]);
});
