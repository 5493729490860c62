/**
 * The device-storage conformance suite on real IndexedDB: the cases of `device_storage.json`, which the simulated disk
 * passes too (`device_storage.rs`), and what only a browser can do: other hosts, deletion under way, newer builds.
 *
 * It needs the module that `cargo xtask wasm device-storage-page` builds, and `CHROME_PATH` if Chromium is elsewhere.
 */
import { createServer, type Server } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { chromium, type Browser, type BrowserContext, type CDPSession, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import json from "./device_storage.json" with { type: "json" };

const MODULE = process.env.TIDELOG_DEVICE_STORAGE_PAGE ?? new URL("../../target/device-storage-page/", import.meta.url).pathname;
const DATABASE = "conformance";

/** Bytes are written as hexadecimal; the range of a load or delete has its first key and not its last. */
type Step =
  | { do: "commit"; writes: Writes; is: string }
  | { do: "load"; table: string; from: string; to: string; bytesMax: number; rows: string[][]; more: boolean }
  | { do: "fill"; table: string; rows: number; bytes: number; is: string }
  | { do: "pages"; table: string; bytesMax: number; rows: number; bytes: number; pages: number }
  | { do: "room"; left: boolean }
  | { do: "reopen" | "crash" | "wipe" };
/** `put`, table, key, value; or `delete`, table, first key, key behind the last. */
type Writes = readonly (readonly string[])[];

const cases = json as unknown as readonly { name: string; steps: readonly Step[] }[];

/** What `device_storage_page/lib.rs` exports. */
interface DeviceStorage {
  commit(writes: unknown[]): Promise<string>;
  load(table: string, from: Uint8Array, to: Uint8Array, bytesMax: number): Promise<[[Uint8Array, Uint8Array][], boolean] | string>;
  ended(): string | undefined;
  close(): void;
}
declare global {
  var openStorage: (name: string, as?: string) => Promise<void>;
  var hosts: Record<string, DeviceStorage>;
  var hex: (bytes: Uint8Array) => string;
  var bytes: (hex: string) => Uint8Array;
}

/** Every page of the server: loads the module and keeps the hosts it opens. */
const HTML = `<!doctype html><title>device storage</title><script type="module">
  import init, { DeviceStorage } from "/device-storage-page.js";
  await init({ module_or_path: "/device-storage-page_bg.wasm" });
  globalThis.hosts = {};
  globalThis.openStorage = async (name, as = "host") => { hosts[as] = await DeviceStorage.open(name); };
  globalThis.hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  globalThis.bytes = (hex) => Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16));
  document.title = "loaded";
</script>`;

let server: Server;
let address: string;
let browser: Browser;
let context: BrowserContext;
let page: Page;
let protocol: CDPSession;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    if (request.url === "/") {
      response.setHeader("content-type", "text/html").end(HTML);
      return;
    }
    const file = request.url?.slice(1) ?? "";
    if (!/^[a-z-]+(_bg)?\.(js|wasm)$/.test(file)) {
      response.writeHead(404).end();
      return;
    }
    response.setHeader("content-type", file.endsWith(".js") ? "text/javascript" : "application/wasm");
    response.end(await readFile(`${MODULE}/${file}`));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  browser = await chromium.launch({ executablePath: process.env.CHROME_PATH ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
});

afterAll(async () => {
  await browser.close();
  server.close();
});

beforeEach(async () => {
  context = await browser.newContext();
  page = await newPage();
  protocol = await context.newCDPSession(page);
});

afterEach(() => context.close());

async function newPage(): Promise<Page> {
  const opened = await context.newPage();
  await opened.goto(address);
  await opened.waitForFunction(() => document.title === "loaded");
  return opened;
}

const openHost = (as = "host", on = page): Promise<void> => on.evaluate(([name, as]) => openStorage(name!, as), [DATABASE, as]);

function commit(writes: Writes, as = "host", on = page): Promise<string> {
  return on.evaluate(
    ({ writes, as }) => hosts[as]!.commit(writes.map(([what, table, first, second]) => [what, table, bytes(first!), bytes(second!)])),
    { writes, as },
  );
}

function load(table: string, from: string, to: string, bytesMax: number, as = "host", on = page): Promise<{ rows: string[][]; more: boolean } | string> {
  return on.evaluate(
    async ({ table, from, to, bytesMax, as }) => {
      const loaded = await hosts[as]!.load(table, bytes(from), bytes(to), bytesMax);
      if (typeof loaded === "string") return loaded;
      return { rows: loaded[0].map((row) => row.map(hex)), more: loaded[1] };
    },
    { table, from, to, bytesMax, as },
  );
}

/** Commits rows `0 .. rows`: their number as key, and bytes that differ from row to row. */
function fill(table: string, rows: number, size: number): Promise<string> {
  return page.evaluate(
    ({ table, rows, size }) => {
      const key = (row: number): Uint8Array => new Uint8Array(new Uint32Array([row]).buffer).reverse();
      return hosts.host!.commit(Array.from({ length: rows }, (_, row) => ["put", table, key(row), new Uint8Array(size).fill(row % 251)]));
    },
    { table, rows, size },
  );
}

/** Loads a filled table page by page: how many pages, how many rows, and the first row that is not as filled. */
function readPages(table: string, bytesMax: number, size: number): Promise<{ pages: number; rows: number; wrong: number | null }> {
  return page.evaluate(
    async ({ table, bytesMax, size }) => {
      let [pages, rows, from]: [number, number, Uint8Array] = [0, 0, new Uint8Array()];
      for (;;) {
        const loaded = await hosts.host!.load(table, from, new Uint8Array([255]), bytesMax);
        if (typeof loaded === "string") throw new Error(loaded);
        pages += 1;
        for (const [key, value] of loaded[0]) {
          const is = new DataView(key.buffer).getUint32(0) === rows && value.length === size && value.every((byte) => byte === rows % 251);
          if (!is) return { pages, rows, wrong: rows };
          rows += 1;
          from = new Uint8Array([...key, 0]);
        }
        if (!loaded[1]) return { pages, rows, wrong: null };
      }
    },
    { table, bytesMax, size },
  );
}

/** What the origin may use from now on. */
const setQuota = (bytes: number | null): Promise<unknown> =>
  protocol.send("Storage.overrideQuotaForOrigin", { origin: new URL(address).origin, ...(bytes === null ? {} : { quotaSize: bytes }) });

/** What a case with little room begins with: more than its rows, and soon used up. */
const SMALL_QUOTA_BYTES = 4 * 1024 * 1024;

/** Uses up what is left, in ever smaller pieces, until not even a byte fits. */
async function useUpRoom(): Promise<void> {
  let row = 0;
  for (let size = 512 * 1024; size >= 1; size = Math.floor(size / 8)) {
    while ((await putBallast(row, size)) === "committed") row += 1;
  }
}

function putBallast(row: number, size: number): Promise<string> {
  return page.evaluate(({ row, size }) => {
    const ballast = crypto.getRandomValues(new Uint8Array(Math.min(size, 65536)));
    const value = new Uint8Array(size).map((_, index) => ballast[index % ballast.length]! ^ (index >> 16));
    return hosts.host!.commit([["put", "snapshots", Uint8Array.of(row >> 8, row & 255), value]]);
  }, { row, size });
}

const closeHost = (as = "host", on = page): Promise<void> => on.evaluate((as) => hosts[as]!.close(), as);

async function reloadPage(): Promise<void> {
  await page.reload();
  await page.waitForFunction(() => document.title === "loaded");
}

async function perform(step: Step): Promise<void> {
  switch (step.do) {
    case "commit":
      return expect(await commit(step.writes)).toBe(step.is);
    case "load":
      return expect(await load(step.table, step.from, step.to, step.bytesMax)).toEqual({ rows: step.rows, more: step.more });
    case "fill":
      return expect(await fill(step.table, step.rows, step.bytes)).toBe(step.is);
    case "pages":
      return expect(await readPages(step.table, step.bytesMax, step.bytes)).toEqual({ pages: step.pages, rows: step.rows, wrong: null });
    case "room":
      return step.left ? void (await setQuota(null)) : useUpRoom();
    case "reopen":
      await closeHost();
      return openHost();
    case "crash": // nothing is closed: the page is gone with its open database
      await reloadPage();
      return openHost();
    case "wipe":
      await closeHost();
      await protocol.send("Storage.clearDataForOrigin", { origin: new URL(address).origin, storageTypes: "indexeddb" });
      return openHost();
  }
}

describe("the cases of the simulated disk", () => {
  for (const { name, steps } of cases) {
    test(name, async () => {
      if (steps.some((step) => step.do === "room")) await setQuota(SMALL_QUOTA_BYTES);
      await openHost();
      for (const [number, step] of steps.entries()) {
        await perform(step).catch((cause: unknown) => {
          throw new Error(`step ${number + 1} (${step.do})`, { cause });
        });
      }
    });
  }
});

const ROW: Writes = [["put", "events", "01", "aa"]];
const OTHER_ROW: Writes = [["put", "events", "01", "bb"], ["put", "outbox", "02", "cc"]];
const ALL = ["", "ff", 1000] as const;

describe("other hosts (R15)", () => {
  test("a host that was replaced stores nothing any more", async () => {
    await openHost("old");
    expect(await commit(ROW, "old")).toBe("committed");
    const other = await newPage();
    await openHost("new", other);
    expect(await commit(OTHER_ROW, "old")).toBe("fenced");
    expect(await load("events", ...ALL, "new", other)).toEqual({ rows: [["01", "aa"]], more: false });
    expect(await load("outbox", ...ALL, "new", other)).toEqual({ rows: [], more: false });
    expect(await commit(OTHER_ROW, "new", other)).toBe("committed");
    expect(await commit(ROW, "old")).toBe("fenced");
    expect(await load("events", ...ALL, "new", other)).toEqual({ rows: [["01", "bb"]], more: false });
  });

  test("a commit that races with a takeover is before it and stored, or behind it and not", async () => {
    await openHost("old");
    for (let round = 0; round < 10; round += 1) {
      const [outcome] = await page.evaluate(
        async ([name, round]) => {
          const write = ["put", "events", Uint8Array.of(round as number), new Uint8Array(100_000)];
          return Promise.all([hosts.old!.commit([write]), openStorage(name as string, "new")]);
        },
        [DATABASE, round],
      );
      const key = round.toString(16).padStart(2, "0");
      const found = await load("events", key, `${key}00`, 1, "new");
      expect(found).toMatchObject({ rows: outcome === "committed" ? [[key, expect.anything()]] : [] });
      expect(["committed", "fenced"]).toContain(outcome);
      await page.evaluate(() => { hosts.old!.close(); hosts.old = hosts.new!; });
    }
  });
});

describe("a database that is taken away", () => {
  const ended = (): Promise<string | undefined> => page.evaluate(() => hosts.host!.ended());

  test("deleted by the browser: it says so, and later commits are lost", async () => {
    await openHost();
    expect(await commit(ROW)).toBe("committed");
    await protocol.send("Storage.clearDataForOrigin", { origin: new URL(address).origin, storageTypes: "indexeddb" });
    await expect.poll(ended).toBe("lost");
    expect(await commit(ROW)).toBe("lost");
    expect(await load("events", ...ALL)).toBe("lost");
  });

  test("deleted by another page: it lets go at once", async () => {
    await openHost();
    const other = await newPage();
    const how = await other.evaluate(
      (name) => new Promise((resolve) => {
        const request = indexedDB.deleteDatabase(name);
        request.onsuccess = () => resolve("deleted");
        request.onblocked = () => resolve("blocked");
      }),
      DATABASE,
    );
    expect(how).toBe("deleted");
    await expect.poll(ended).toBe("deleted");
    expect(await commit(ROW)).toBe("lost");
  });

  test("upgraded by a newer build: the old one lets go, and does not open it again", async () => {
    await openHost();
    const other = await newPage();
    const how = await other.evaluate(
      (name) => new Promise((resolve) => {
        const request = indexedDB.open(name, 1000);
        request.onsuccess = () => { request.result.close(); resolve("opened"); };
        request.onblocked = () => resolve("blocked");
      }),
      DATABASE,
    );
    expect(how).toBe("opened");
    await expect.poll(ended).toBe("upgraded");
    await expect(openHost("again")).rejects.toThrow("newer");
  });
});

describe("a database that cannot be used", () => {
  const make = (setUp: (database: IDBDatabase) => void): Promise<void> =>
    page.evaluate(
      ([name, setUp]) => new Promise<void>((resolve) => {
        const request = indexedDB.open(name!, 1);
        request.onupgradeneeded = () => new Function("database", `(${setUp})(database)`)(request.result);
        request.onsuccess = () => { request.result.close(); resolve(); };
      }),
      [DATABASE, String(setUp)],
    );

  test("a table is missing: it is refused by name", async () => {
    await make((database) => { database.createObjectStore("lease"); });
    await expect(openHost()).rejects.toThrow("no table device");
  });

  test("a row that no engine wrote is an error, not a crash", async () => {
    await openHost();
    await page.evaluate((name) => new Promise<void>((resolve) => {
      const request = indexedDB.open(name, 1);
      request.onsuccess = () => {
        const transaction = request.result.transaction("events", "readwrite");
        transaction.objectStore("events").put("text", new Uint8Array([1]));
        transaction.oncomplete = () => { request.result.close(); resolve(); };
      };
    }), DATABASE);
    expect(await load("events", ...ALL)).toBe("lost");
    expect(await commit([["put", "outbox", "01", "aa"]])).toBe("committed");
  });

  test("another page holds it in an older version and does not let go: the wait ends", async () => {
    const other = await newPage();
    await other.evaluate((name) => new Promise<void>((resolve) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => request.result.createObjectStore("x");
      request.onsuccess = () => {
        // A pending deletion stands in the way of everybody who opens it now.
        indexedDB.deleteDatabase(name);
        resolve();
      };
    }), DATABASE);
    const began = Date.now();
    await expect(openHost()).rejects.toThrow("does not let go");
    expect(Date.now() - began).toBeLessThan(20_000);
  }, 30_000);
});
