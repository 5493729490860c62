/** Names of streams: the same rule as in the relay. */
import { describe } from "./arguments.js";
import { SyncError } from "./errors.js";

const NAME_LENGTH_MAX = 200;
/** Of a wrong name, in an error. */
const QUOTED_LENGTH_MAX = 60;
const SEGMENT = /^[A-Za-z0-9._~-]+$/;

/** Throws `invalid-name` unless it is 1 to 200 characters of `A-Z a-z 0-9 . _ ~ -` in segments joined by `/`, none of them `.` or `..`. */
export function checkName(name: unknown): asserts name is string {
  const isString = typeof name === "string";
  const valid = isString && name.length <= NAME_LENGTH_MAX && name.split("/").every((segment) => SEGMENT.test(segment) && segment !== "." && segment !== "..");
  const quoted = isString && name.length > QUOTED_LENGTH_MAX ? `${name.slice(0, QUOTED_LENGTH_MAX)}…` : name;
  if (!valid) throw new SyncError("invalid-name", `${isString ? JSON.stringify(quoted) : describe(name)} is no stream name: it has 1 to ${NAME_LENGTH_MAX} characters: segments of A-Z a-z 0-9 . _ ~ - joined by /`);
}
