// The golden frames as another language sees them: decoded by a CBOR library that knows nothing of Tidelog, and held
// against the tables of PROTOCOL.md. So a second client can be written from that document alone.
import { decode } from "cborg";
import { readFileSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";

const folder = new URL("./", import.meta.url);
const protocol = readFileSync(new URL("../../PROTOCOL.md", import.meta.url), "utf8");

interface Row { readonly number: number; readonly keys: ReadonlySet<number> }

/** The rows of the message tables by golden frame: `| 2 | subscribe | 0: stream, 1: epoch ... | [subscribe](...) |`. */
function messageTable(): Map<string, Row> {
  const rows = new Map<string, Row>();
  for (const line of protocol.split("\n")) {
    const cells = line.split("|").map((cell) => cell.trim());
    if (!/^\d+$/.test(cells[1] ?? "")) continue;
    const top = (cells[3] ?? "").split(";")[0] ?? "";
    const keys = new Set([...top.matchAll(/(?:^|, )(\d+): /g)].map((match) => Number(match[1])));
    for (const [, name] of (cells[4] ?? "").matchAll(/tests\/golden\/([\w-]+)\.hex/g)) {
      rows.set(name!, { number: Number(cells[1]), keys });
    }
  }
  return rows;
}

function frame(name: string): Uint8Array {
  const text = readFileSync(new URL(`${name}.hex`, folder), "utf8");
  const digits = text.split("\n").filter((line) => !line.startsWith("#")).join("").trim();
  return Uint8Array.from(Buffer.from(digits, "hex"));
}

const table = messageTable();
const names = readdirSync(folder).filter((file) => file.endsWith(".hex")).map((file) => file.slice(0, -4));
const fields = (name: string) => (decode(frame(name), { useMaps: true }) as [number, Map<number, unknown>])[1];
const filled = (byte: number, length: number) => new Uint8Array(length).fill(byte);

describe("golden frames", () => {
  test("every frame is in the tables of PROTOCOL.md, and every row has its frame", () => {
    expect(names.sort()).toEqual([...table.keys()].sort());
    expect(names.length).toBeGreaterThan(20);
  });

  test("every frame has the number and only the fields that its row names", () => {
    for (const name of names) {
      const [number, map] = decode(frame(name), { useMaps: true }) as [number, Map<number, unknown>];
      expect(number, name).toBe(table.get(name)!.number);
      for (const key of map.keys()) expect(table.get(name)!.keys, `${name} key ${key}`).toContain(key);
    }
  });

  test("a subscribe reads as PROTOCOL.md says", () => {
    expect(fields("subscribe")).toEqual(new Map<number, unknown>([
      [0, "notes/shopping"], [1, filled(0x77, 16)], [2, 17], [3, filled(0x88, 16)], [4, filled(0xaa, 16)], [5, 3], [6, [filled(0xbb, 16)]],
    ]));
  });

  test("a run of events reads as PROTOCOL.md says", () => {
    const events = fields("events");
    expect([events.get(0), events.get(1), events.get(2)]).toEqual(["notes/shopping", 16, 18]);
    const [run] = events.get(3) as Map<number, unknown>[];
    expect([run!.get(1), run!.get(2), run!.get(3)]).toEqual([3, 17, "ann"]);
    expect(run!.get(4)).toEqual([1, filled(0x11, 8)]);
    const [kind, time, payload] = decode((run!.get(6) as Uint8Array[])[0]!) as [number, number, Uint8Array];
    expect([kind, time, new TextDecoder().decode(payload)]).toEqual([1, 1_700_000_000_000, '{"type":"added"}']);
  });

  test("a publish holds events and voids", () => {
    const items = fields("publish").get(5) as Map<number, unknown>[];
    expect(items.map((item) => [...item.keys()])).toEqual([[0, 1, 2], [3]]);
    expect(items[0]!.get(2)).toEqual([2, filled(0x33, 8)]);
  });
});
