/** What an app without TypeScript gets wrong is told where it happens. */
import { expect, test } from "vitest";
import { createClient, defineDocument, defineStream, defineView, event, SyncError } from "../src/index.js";
import { World } from "./world.js";

const Orders = defineStream({ events: { closed: event() } });
const Note = defineDocument<{ title: string }>({ defaults: { title: "" } });

/** What `run` throws, as "code: message". Loosely typed, as the callers that are meant are. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    return error instanceof SyncError ? `${error.code}: ${error.message}` : `no SyncError: ${String(error)}`;
  }
  return "nothing";
}

const create = createClient as (options?: unknown) => unknown;

test.each<[unknown, string]>([
  [undefined, "createClient takes options"],
  ["wss://relay.test", "not a string"],
  [{}, "`database` must be the name of the app's local data, a string, not undefined"],
  [{ database: "" }, "not an empty string"],
  [{ database: "d", user: "" }, "`user` must be"],
  [{ database: "d", user: null }, "`user` must be"],
  [{ database: "d", token: 7 }, "`token` must be"],
  [{ database: "d", onLog: "console" }, "`onLog` must be"],
  [{ database: "d", url: "" }, "`url` must be an absolute address"],
  [{ database: "d", url: "/sync" }, "`url` must be an absolute address"],
  [{ database: "d", url: "relay.example/sync" }, "`url` must be an absolute address"],
  [{ database: "d", url: "ftp://secret@relay.example" }, "`url` must be an absolute address"],
])("createClient(%j) says what is wrong", (options, text) => {
  const said = refusal(() => create(options));
  expect(said).toMatch(/^invalid-value: /);
  expect(said).toContain(text);
  expect(said).not.toContain("secret");
});

test.each(["ws://localhost:7654/sync", "wss://relay.example/sync", "http://localhost:7654/sync", "HTTPS://relay.example/sync"])("%s is an address", (url) => {
  expect(refusal(() => createClient({ url, database: "d" }))).toBe("nothing");
});

test("definitions and handles say what they take", () => {
  const client = new World().client();
  const [document, stream] = [client.document, client.stream] as unknown as ((definition?: unknown, name?: unknown) => unknown)[];
  const define = { document: defineDocument, stream: defineStream, view: defineView } as unknown as Record<string, (...parts: unknown[]) => unknown>;
  const said = [
    () => document!(undefined, "n"),
    () => document!(Orders, "n"),
    () => stream!(Note, "n"),
    () => client.stream(Orders, "s").view(Orders as never),
    () => client.stream(Orders, "s").append(undefined as never),
    () => define["document"]!({}),
    () => define["document"]!({ defaults: {}, schema: {} }),
    () => define["stream"]!({}),
    () => define["stream"]!({ events: { paid: "string" } }),
    () => define["view"]!(Note, { name: "n", initial: 0, reduce: () => 0 }),
    () => define["view"]!(Orders, { name: "n" }),
    () => client.document(Note, "n").change("milk" as never),
    () => client.document(Note, "n").history.changeAt([] as never, undefined as never),
  ].map(refusal);
  expect(said).toEqual([
    "invalid-value: client.document takes a definition of defineDocument, not undefined",
    "invalid-value: client.document takes a definition of defineDocument, not an object",
    "invalid-value: client.stream takes a definition of defineStream, not an object",
    "invalid-value: view takes a definition of defineView, not an object",
    "invalid-value: append takes an event, { type, payload }, not undefined",
    "invalid-value: defineDocument takes { defaults: { ... } }, or nothing where every key is optional, not undefined",
    "invalid-value: the `schema` of defineDocument must be a Standard Schema, not an object",
    "invalid-value: defineStream takes { events: { ... } }, each event() or a schema, not undefined",
    'invalid-value: the event "paid" must be event() or a Standard Schema, not a string',
    "invalid-value: defineView takes a definition of defineStream, not an object",
    "invalid-value: defineView takes { name, initial, reduce } after it, not an object",
    "invalid-value: change takes a function that edits a draft, not a string",
    "invalid-value: changeAt takes a function that edits a draft, not undefined",
  ]);
});

test("a wrong name is quoted, and no more of it than fits into a line", () => {
  const client = new World().client();
  const says = (name: unknown): string => refusal(() => client.stream(Orders, name as string));
  expect(says("shopping list")).toMatch(/^invalid-name: "shopping list" is no stream name/);
  expect(says(undefined)).toMatch(/^invalid-name: undefined is no stream name/);
  expect(says("ä".repeat(1000))).toMatch(/^invalid-name: "ä{60}…" is no stream name/);
});
