import { describe, expect, it } from "vitest";
import type { SyncErrorCode, SyncErrorInfo, SyncStatus } from "tidelog";
import { noticesOf } from "../src/notices.js";

const calm: SyncStatus = {
  connection: { state: "connected" },
  savedOn: "relay",
  pending: 0,
  rejected: 0,
  behind: 0,
  storage: { durability: "persistent", usedBytes: 1, quotaBytes: 100, low: false, error: null },
  outdated: false,
};
const error = (code: SyncErrorCode): SyncErrorInfo => ({ code, message: "", retryable: false, stream: null });
const keys = (status: Partial<SyncStatus>, storage: Partial<SyncStatus["storage"]> = {}): readonly string[] =>
  noticesOf({ ...calm, ...status, storage: { ...calm.storage, ...storage } }).map(({ key }) => key);

describe("noticesOf", () => {
  it("says nothing while all is well, nor about a relay that is away", () => {
    expect(keys({})).toEqual([]);
    expect(keys({ connection: { state: "offline" }, savedOn: "device", pending: 7 })).toEqual([]);
    expect(keys({ connection: { state: "waiting", waitsFor: "relay", retryAt: 5, error: error("not-on-device") } })).toEqual([]);
  });

  it("keeps the states of the storage apart", () => {
    expect(keys({}, { durability: "memory" })).toEqual(["memory"]);
    expect(keys({}, { durability: "memory", error: error("storage-unavailable") })).toEqual(["memory"]);
    expect(keys({}, { low: true })).toEqual(["low"]);
    expect(keys({}, { low: true, error: error("storage-full") })).toEqual(["storage-full"]);
    expect(keys({}, { error: error("storage-lost") })).toEqual(["storage-lost"]);
    expect(keys({ connection: { state: "stopped", error: error("storage-lost") } }, { error: error("storage-lost") })).toEqual(["storage-lost"]);
  });

  it("says when another tab or build is in the way, before anything about the storage", () => {
    expect(keys({ outdated: true }, { low: true })).toEqual(["outdated-app", "low"]);
    expect(keys({ connection: { state: "stopped", error: error("outdated-app") }, outdated: true })).toEqual(["outdated-app"]);
    expect(keys({ connection: { state: "waiting", waitsFor: "other-tab", retryAt: 0, error: error("engine-failed") } })).toEqual(["other-tab"]);
    expect(keys({ connection: { state: "waiting", waitsFor: "engine", retryAt: 0, error: error("engine-failed") } })).toEqual(["engine"]);
    expect(keys({ connection: { state: "closed" } })).toEqual(["closed"]);
  });

  it("offers a reload only where that helps", () => {
    const offers = (status: Partial<SyncStatus>) => noticesOf({ ...calm, ...status }).map(({ reload }) => reload);
    expect(offers({ connection: { state: "stopped", error: error("outdated-app") } })).toEqual([true]);
    expect(offers({ connection: { state: "stopped", error: error("wrong-user") } })).toEqual([false]);
  });
});
