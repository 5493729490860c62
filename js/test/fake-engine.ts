/** An engine in memory that does exactly what a test tells it, in the shapes and the order of the real one. */
import type { Engine, EngineEvent, EngineLocalStream, EngineLogEvent, EngineLogPage, EngineRejection, EngineStatus, EngineStreamState, EventKind } from "../src/engine/engine.js";

const EPOCH = "e".repeat(32);
const PRODUCER = "a".repeat(32);
const OTHER = "b".repeat(32);

interface FakeStream {
  epoch: string;
  log: EngineLogEvent[];
  outbox: EngineLogEvent[];
  open: boolean;
  exists: boolean | "unknown";
  caughtUp: boolean;
  sequence: number;
  foreign: number;
  answers: number;
  /** Stands for the log up to its offset. */
  snapshot?: { bytes: Uint8Array; offset: number };
}

export function checkOf(offset: number): string {
  return offset.toString(16).padStart(32, "c");
}

export function json(type: string, payload?: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(payload === undefined ? { type } : { type, payload }));
}

export class FakeEngine implements Engine {
  readonly streams_ = new Map<string, FakeStream>();
  readonly refused: EngineRejection[] = [];
  readonly calls: string[] = [];
  readonly tokens: (string | null)[] = [];
  readonly dependents: boolean[] = [];
  connection: EngineStatus["connection"] = { state: "connected" };
  storageError: EngineStatus["storage"]["error"] = null;
  durability: EngineStatus["storage"]["durability"] = "best-effort";
  /** Set: appends fail with this code. */
  failing: string | null = null;
  /** Set: appends wait for `saveAll`. */
  holding = false;
  device = "a";
  readonly #held: (() => void)[] = [];
  #unsaved = 0;
  readonly #listener: (event: EngineEvent) => void;

  constructor(listener: (event: EngineEvent) => void) {
    this.#listener = listener;
    queueMicrotask(() => this.tellStatus());
  }

  at(name: string): FakeStream {
    const known = this.streams_.get(name) ?? { epoch: EPOCH, log: [], outbox: [], open: false, exists: "unknown" as const, caughtUp: false, sequence: 0, foreign: 0, answers: 0 };
    this.streams_.set(name, known);
    return known;
  }

  tell(event: EngineEvent): void {
    this.#listener(event);
  }

  tellStatus(): void {
    const pending = [...this.streams_.values()].reduce((sum, stream) => sum + stream.outbox.length, 0);
    this.tell({
      type: "status",
      connection: this.connection,
      pending,
      rejected: this.refused.length,
      behind: [...this.streams_.values()].filter((stream) => stream.open && !stream.caughtUp).length,
      unsaved: this.#unsaved,
      storage: { durability: this.durability, usedBytes: null, quotaBytes: null, error: this.storageError },
    });
  }

  tellState(name: string): void {
    const stream = this.at(name);
    const cursor = stream.log.at(-1)?.offset ?? 0;
    const state: EngineStreamState = {
      type: "stream", stream: name, phase: "ready", exists: cursor > 0 || stream.outbox.length > 0 ? true : stream.exists,
      caughtUp: stream.caughtUp, epoch: stream.epoch, cursor, head: stream.caughtUp ? cursor : null, answers: stream.answers, pending: stream.outbox.length,
      rejected: this.refused.filter((refused) => refused.stream === name).length, access: "write",
      savedOn: stream.outbox.length > 0 ? "device" : "relay", error: null,
    };
    this.tell(state);
    this.tellStatus();
  }

  // What the relay does, as the test wishes.

  /** Events of other devices come in: `[type, payload]` or whole payloads. */
  deliver(name: string, payloads: readonly Uint8Array[], kind: EventKind = 1): void {
    const stream = this.at(name);
    const events = payloads.map((payload, index): EngineLogEvent => {
      stream.foreign += 1;
      const offset = (stream.log.at(-1)?.offset ?? 0) + 1 + index;
      return { id: `${OTHER}:${stream.foreign}`, offset, kind, time: 5, author: null, payload, causes: {}, check: checkOf(offset) };
    });
    this.#apply(name, events);
  }

  /** The relay logs the first `count` events of the outbox and they come back, in one batch behind `before`. */
  confirm(name: string, count = Infinity, before: readonly EngineLogEvent[] = []): void {
    const stream = this.at(name);
    const confirmed = stream.outbox.splice(0, count);
    this.tell({ type: "accepted", stream: name, ids: confirmed.map(({ id }) => id) });
    this.#apply(name, [...before, ...confirmed].map((event, index) => {
      const offset = (stream.log.at(-1)?.offset ?? 0) + 1 + index;
      const { state: _, ...logged } = event;
      return { ...logged, offset, check: checkOf(offset) };
    }));
  }

  /** A copy of this profile is found out: what is open gets ids of its own. Gives it as it was. */
  fork(name: string): readonly EngineLogEvent[] {
    const stream = this.at(name);
    const before = stream.outbox;
    stream.outbox = before.map((event, index) => ({ ...event, id: `${index.toString(16).padStart(32, "d")}:1` }));
    before.forEach(({ id: from }, index) => this.tell({ type: "renamed", stream: name, from, to: stream.outbox[index]!.id }));
    return before;
  }

  /** The relay refuses the event of the outbox at `index`. */
  refuse(name: string, code: string, reason: string, index = 0): void {
    const stream = this.at(name);
    const event = stream.outbox.splice(index, 1)[0]!;
    const rejection: EngineRejection = { id: event.id, stream: name, kind: event.kind, code, reason, time: event.time, payload: event.payload };
    this.refused.push(rejection);
    this.tell({ type: "rejected", stream: name, rejections: [rejection] });
    this.tellState(name);
  }

  /** The relay answers the subscription. */
  answer(name: string, exists: boolean): void {
    const stream = this.at(name);
    Object.assign(stream, { exists, caughtUp: true, answers: stream.answers + 1 });
    this.tellState(name);
  }

  /** The relay's log was lost and begins again with these events. */
  replace(name: string, epoch: string): void {
    Object.assign(this.at(name), { epoch, log: [] });
    this.tell({ type: "reset", stream: name, epoch });
  }

  saveAll(): void {
    for (const save of this.#held.splice(0)) save();
  }

  #apply(name: string, events: EngineLogEvent[]): void {
    const stream = this.at(name);
    const after = stream.log.at(-1)?.offset ?? 0;
    stream.log.push(...events);
    const upto = stream.log.at(-1)?.offset ?? 0;
    Object.assign(stream, { exists: true });
    if (stream.open) this.tell({ type: "applied", stream: name, epoch: stream.epoch, after, upto, check: checkOf(upto), events });
    this.tellState(name);
  }

  // The engine's own methods.

  open(stream: string): void {
    this.calls.push(`open ${stream}`);
    this.at(stream).open = true;
    this.tellState(stream);
  }

  close(stream: string): void {
    this.calls.push(`close ${stream}`);
    this.at(stream).open = false;
  }

  append(write: number, stream: string, kind: EventKind, time: number, payload: Uint8Array, dependent: boolean): void {
    this.dependents.push(dependent);
    const save = (): void => {
      this.#unsaved -= 1;
      if (this.failing !== null) {
        this.tell({ type: "failed", stream, write, code: this.failing, message: "no" });
        return;
      }
      const at = this.at(stream);
      at.sequence += 1;
      const event: EngineLogEvent = { id: `${PRODUCER}:${at.sequence}`, offset: null, kind, time, author: null, payload, causes: {}, state: "unsent" };
      at.outbox.push(event);
      this.tell({ type: "appended", stream, write, event });
      this.tellState(stream);
    };
    this.#unsaved += 1;
    this.tellStatus();
    if (this.holding) this.#held.push(save);
    else queueMicrotask(save);
  }

  async read(name: string, after: number, maxBytes: number): Promise<EngineLogPage> {
    this.calls.push(`read ${name} ${after}`);
    const stream = this.at(name);
    if (stream.snapshot !== undefined && after < stream.snapshot.offset) {
      const { bytes, offset } = stream.snapshot;
      return { epoch: stream.epoch, after: offset, upto: offset, check: checkOf(offset), more: (stream.log.at(-1)?.offset ?? 0) > offset, events: [], snapshot: bytes };
    }
    const behind = stream.log.filter((event) => event.offset! > after);
    const events: EngineLogEvent[] = [];
    for (let bytes = 0; events.length < behind.length && (events.length === 0 || bytes < maxBytes); ) {
      const event = behind[events.length]!;
      bytes += event.payload.byteLength;
      events.push(event);
    }
    const upto = events.at(-1)?.offset ?? after;
    return { epoch: stream.epoch, after, upto, check: checkOf(upto), more: events.length < behind.length, events };
  }

  async pending(stream: string): Promise<readonly EngineLogEvent[]> {
    return [...this.at(stream).outbox];
  }

  async rejections(): Promise<readonly EngineRejection[]> {
    return [...this.refused];
  }

  async dropRejection(id: string, stream: string): Promise<void> {
    const at = this.refused.findIndex((refused) => refused.id === id && refused.stream === stream);
    if (at >= 0) this.refused.splice(at, 1);
    this.tellStatus();
  }

  reject(id: string, stream: string, kind: EventKind, time: number, payload: Uint8Array, code: string): void {
    this.calls.push(`reject ${stream} ${id}`);
    const rejection: EngineRejection = { id, stream, kind, code, reason: "", time, payload };
    this.refused.push(rejection);
    this.tell({ type: "rejected", stream, rejections: [rejection] });
  }

  /** The first digit says which device, the last ones which page. */
  actor(number: number): string {
    return this.device + number.toString(16).padStart(31, "0");
  }

  refresh(stream: string): void {
    this.calls.push(`refresh ${stream}`);
  }

  connect(): void {
    this.calls.push("connect");
  }

  disconnect(): void {
    this.calls.push("disconnect");
  }

  authenticate(token: string | null): void {
    this.tokens.push(token);
  }

  hint(what: string): void {
    this.calls.push(`hint ${what}`);
  }

  async requestPersistence(): Promise<boolean> {
    return false;
  }

  async streams(prefix: string): Promise<readonly EngineLocalStream[]> {
    const held = [...this.streams_].filter(([name, { log, outbox }]) => name.startsWith(prefix) && log.length + outbox.length > 0);
    return held.map(([name, { log, outbox }]) => ({
      name, kind: (log[0] ?? outbox[0])!.kind === 1 ? "stream" : "document",
      usedBytes: log.reduce((sum, event) => sum + event.payload.byteLength, 0), pending: outbox.length,
    }));
  }

  async deleteLocalData(): Promise<void> {
    this.streams_.clear();
    this.refused.length = 0;
  }

  async stop(): Promise<void> {
    this.calls.push("stop");
  }
}
