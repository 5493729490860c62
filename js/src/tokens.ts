/** The page's side of signing in. */
import type { ClientOptions } from "./client.js";

/** Waits between attempts of a token function that throws, in ms; the last one repeats. */
const RETRY_MS = [1000, 2000, 4000, 8000, 16_000, 30_000];

/**
 * Gives a token, or null for "signed out". A function that throws has not said that: the network may be away, so it
 * is asked again. `ended`: stops that.
 */
export async function provideToken(
  token: ClientOptions["token"],
  refused: boolean,
  onFailure: (message: string) => void,
  ended: AbortSignal,
): Promise<string | null> {
  if (token === undefined) return null;
  if (typeof token === "string") return refused ? null : token; // there is no other one
  for (let attempt = 0; !ended.aborted; attempt += 1) {
    try {
      return await token({ refused });
    } catch (cause) {
      onFailure(`the token function failed: ${cause instanceof Error ? cause.name : "no error object"}`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]));
    }
  }
  return null;
}
