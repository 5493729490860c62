/** What apps without TypeScript hand in by mistake is told where it happens, not somewhere inside. */
import { SyncError } from "./errors.js";

/** Throws `invalid-value` unless `isRight`: "`wanted`, not ...". What is given is not repeated, since it may be a secret. */
export function demand(isRight: boolean, wanted: string, given: unknown): asserts isRight {
  if (!isRight) throw new SyncError("invalid-value", `${wanted}, not ${describe(given)}`);
}

/** True for what may have keys. */
export function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** What a value is, in words. */
export function describe(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  if (value === "") return "an empty string";
  if (Array.isArray(value)) return "an array";
  return `${/^[aeiou]/.test(typeof value) ? "an" : "a"} ${typeof value}`;
}
