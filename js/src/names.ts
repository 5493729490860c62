/** Names of streams: the same rule as in the relay. */
import { SyncError } from "./errors.js";

const NAME_LENGTH_MAX = 200;
const SEGMENT = /^[A-Za-z0-9._~-]+$/;

/** Throws `invalid-name` unless it is 1 to 200 characters of `A-Z a-z 0-9 . _ ~ -` in segments joined by `/`, none of them `.` or `..`. */
export function checkName(name: string): void {
  const valid = name.length <= NAME_LENGTH_MAX && name.split("/").every((segment) => SEGMENT.test(segment) && segment !== "." && segment !== "..");
  if (!valid) throw new SyncError("invalid-name", `a stream name has 1 to ${NAME_LENGTH_MAX} characters: segments of A-Z a-z 0-9 . _ ~ - joined by /`);
}
