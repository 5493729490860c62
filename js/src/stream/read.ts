/** `read`: replays the log, one page in memory at a time. */
import type { AppEvent, StreamDefinitionParts } from "../definitions.js";
import type { EngineLogPage } from "../engine/engine.js";
import { SyncError } from "../errors.js";
import { OncePerFrame } from "../frames.js";
import { parseOffset, type Place } from "../offset.js";
import { until, type Session } from "../session.js";
import { decodeEvent, historyCut, loggedInfo, withChecks, type Logged } from "./events.js";
import type { Feed } from "./feed.js";
import type { ReadOptions } from "./stream-handle.js";

const READ_BYTES_MAX = 256 * 1024;

/** Reads a stream's events; see `StreamHandle.read`. */
export async function* readEvents<E extends AppEvent>(
  session: Session,
  feed: Feed,
  definition: StreamDefinitionParts,
  handle: { readonly ready: Promise<void> },
  { after, follow = false, onProgress, signal }: ReadOptions,
): AsyncGenerator<Logged<E>, void, undefined> {
  const start = after === undefined ? null : parseOffset(after, feed.name);
  const release = feed.hold();
  const progress = progressOf(onProgress);
  try {
    await aborted(handle.ready, signal);
    let epoch = start?.epoch ?? null;
    let place = 0;
    if (start !== null) {
      await reach(session, feed, start.offset, signal);
      await verify(session, feed, start);
      place = start.offset;
    }
    const from = place;
    let end = Infinity;
    for (let first = true; place < end; first = false) {
      signal?.throwIfAborted();
      const page: EngineLogPage = withChecks(await aborted(session.call("read", feed.name, place, READ_BYTES_MAX), signal));
      if (place === 0 && page.snapshot !== undefined) throw historyCut(feed.name);
      if (place > 0 && (page.epoch !== epoch || page.after !== place)) throw replaced(feed);
      // The answer came after all that the engine had told at the call, so now the head of then is known.
      if (first && !follow) end = headNow(session, feed);
      if (page.upto <= place && page.more) continue; // another log took the place of this one while the page was read
      if (page.upto <= place) {
        // The end of the local log. Offline, or with nothing left to come, that is the end.
        if (place >= end || (!follow && (session.reach !== "connected" || feed.state?.caughtUp === true))) break;
        await reach(session, feed, place + 1, signal, follow);
        if (!follow && feed.cursor <= place) break;
        continue;
      }
      epoch = page.epoch;
      for (const event of page.events) {
        if ((event.offset ?? 0) > end) break;
        const { events, unknown, invalid } = event.kind === 1 ? decodeEvent(definition, event.payload) : { events: [], unknown: false, invalid: true };
        if (unknown) feed.reportUnknown();
        if (invalid) feed.reportInvalid(event.offset ?? 0);
        const info = loggedInfo(page.epoch, event);
        for (const made of events) {
          signal?.throwIfAborted();
          yield { ...made, ...info } as Logged<E>;
        }
      }
      place = page.upto;
      progress.set(end === Infinity ? place / Math.max(place, feed.cursor) : (Math.min(place, end) - from) / (end - from));
    }
    progress.set(1);
  } finally {
    progress.end();
    release();
  }
}

/** The head as this device knows it: the relay's, while connected. */
function headNow(session: Session, feed: Feed): number {
  return Math.max(feed.cursor, session.reach === "connected" ? (feed.state?.head ?? 0) : 0);
}

/** Waits until the local log goes that far, or (unless `follow`) until nothing more can come. */
async function reach(session: Session, feed: Feed, offset: number, signal: AbortSignal | undefined, follow = false): Promise<void> {
  const test = (): boolean => {
    if (feed.failure !== null) throw feed.failure;
    return feed.cursor >= offset || (!follow && (session.reach !== "connected" || feed.state?.caughtUp === true));
  };
  await until({
    subscribe: (listener) => {
      const ends = [feed.onEngineState(listener), session.status.subscribe(listener)];
      return () => ends.forEach((end) => end());
    },
  }, test, signal);
}

/** Refuses an offset that is not in this log: another epoch, or a log that was restored and has other events there. */
async function verify(session: Session, feed: Feed, { epoch, offset, check }: Place): Promise<void> {
  if (offset === 0) return;
  const page = await session.call("read", feed.name, offset - 1, 1);
  if (page.epoch === epoch && page.upto < offset && session.reach !== "connected") {
    throw new SyncError("not-on-device", "this device does not have the log up to that offset, and there is no connection", { stream: feed.name });
  }
  let found = page.epoch === epoch ? checkAt(page, offset) : null;
  // Within a batch the engine knows the check only where it has followed the log, so it is followed once.
  for (let after = 0; found === "" && check !== ""; ) {
    const next = await session.call("read", feed.name, after, READ_BYTES_MAX);
    if (next.upto >= offset) {
      found = checkAt(next, offset);
      break;
    }
    if (next.upto <= after) break;
    after = next.upto;
  }
  if (found === null || (found !== check && found !== "" && check !== "")) throw replaced(feed);
}

/** The log's check at an offset: empty where it is not known, null where the page has no such place. */
function checkAt(page: EngineLogPage, offset: number): string | null {
  if (page.upto === offset) return page.check;
  const event = page.events.find((candidate) => candidate.offset === offset);
  return event === undefined ? null : (event.check ?? "");
}

function replaced(feed: Feed): SyncError {
  return new SyncError("log-replaced", "the log is not the one that this offset was taken from: read from the beginning", { stream: feed.name });
}

/** The promise, or the signal's reason if that comes first. */
function aborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** Tells progress at most once a frame, and the last value in any case. */
function progressOf(tell: ((progress: number) => void) | undefined): { set(progress: number): void; end(): void } {
  if (tell === undefined) return { set: () => undefined, end: () => undefined };
  let latest = 0;
  const frames = new OncePerFrame(() => tell(latest));
  return {
    set: (progress) => {
      latest = Math.max(latest, progress);
      frames.request();
    },
    end: () => frames.flush(),
  };
}
