/** A document: Automerge state under a stream name, edited at once and saved a frame at a time. */
import { demand } from "./arguments.js";
import type { DocumentDefinition, DocumentDefinitionParts } from "./definitions.js";
import { conflictsAt } from "./document-conflicts.js";
import { documentHistory } from "./document-history.js";
import { loadDocuments, type DocumentLayer } from "./document-loading.js";
import { ChangeQueue, type QueuedChange } from "./document-queue.js";
import { openText, type TextHandle } from "./document-text.js";
import type { ChangeOptions, Conflict, DocumentChange, DocumentHandle, DocumentHistory, Origin } from "./document-types.js";
import type { DocumentState } from "./document/index.js";
import type { Commit, CommitOptions, Dropped, Patch, Path, RemoteStep, Snapshot, Step, TextPath } from "./document/types.js";
import { DocumentError } from "./document/values.js";
import type { EngineLogEvent } from "./engine/engine.js";
import { SyncError, toSyncError } from "./errors.js";
import { OncePerFrame } from "./frames.js";
import { FeedHandle } from "./handle.js";
import { refuseInvalid, schemaProblem } from "./schema.js";
import type { Session } from "./session.js";
import { callAll, ValueStore, type Store, type Unsubscribe } from "./store.js";
import type { FeedReader, FeedTarget } from "./stream/feed-reader.js";
import type { PendingEvent } from "./stream/pending.js";
import { emptyWrite, Write, type WriteHandle } from "./write.js";

/** A change that is still open: edits of this frame join it. */
interface OpenChange {
  readonly write: Write;
  readonly message: string | undefined;
}

/** An event's payload on its way into the document. `offset` is 0 for one that is not in the log. */
interface Arrived {
  readonly payload: Uint8Array;
  readonly offset: number;
  readonly author: string | null;
  /** Set if this device wrote it. */
  readonly own?: OwnEvent;
}

/** What the engine must know to list an event that had no effect. */
type OwnEvent = Pick<EngineLogEvent, "id" | "kind" | "time" | "payload">;

/** The one implementation. */
export class DocumentHandleImpl<T extends object> extends FeedHandle implements DocumentHandle<T>, FeedTarget {
  readonly history: DocumentHistory<T>;
  readonly #session: Session;
  readonly #definition: DocumentDefinitionParts;
  readonly #asset: string | null;
  readonly #shown: ValueStore<Snapshot<T> | undefined>;
  readonly #changeListeners = new Set<(change: DocumentChange<T>) => void>();
  /** This page's own writes: their changes are in the document already. */
  readonly #written = new WeakSet<Write>();
  readonly #conflicts = new Map<string, Store<readonly Conflict[]>>();
  readonly #queue = new ChangeQueue({
    append: (change) => this.#append(change),
    countUnsaved: (by) => this.feed.countUnsaved(by),
    onImpossible: (change, behind) => this.#takeOut([change.bytes], behind),
  });
  readonly #closing = new OncePerFrame(() => this.closeChange());
  readonly #applying = new OncePerFrame(() => this.#applyArrived());
  #reader: FeedReader | null = null;
  #state: DocumentState<T> | null = null;
  /** Null until the document module is there. */
  #layer: DocumentLayer | null = null;
  #readAll = false;
  /** Whole documents of the log that are being read. */
  #expanding = 0;
  #stopListening: Unsubscribe = () => undefined;
  #open: OpenChange | null = null;
  /** What came from the log and from other tabs and waits for the next frame, or for the document to open. */
  #arrived: Arrived[] = [];
  /** True while everything in `#arrived` came from another tab of this device. */
  #onlyTabs = true;
  /** Who is known to write under which Automerge actor. */
  readonly #authors = new Map<string, string>();
  /** The leased actor that this document took last. */
  #leased = "";
  /** Those before it: given up, since a copy of this profile has them too. */
  readonly #givenUp = new Set<string>();
  /** Own open changes, by hash, that the log holds as another event: see {@link #noteDoubled}. */
  readonly #doubled = new Set<string>();
  /** Own changes that can have no effect, by hash: true once their event is listed as a rejection, which takes an id. */
  readonly #superseded = new Map<string, boolean>();
  #origin: Origin = "local";
  #failed: SyncError | null = null;

  constructor(session: Session, definition: DocumentDefinition<T>, name: string, asset: string | null) {
    super(session.feed(name), "document", session);
    this.#session = session;
    this.#definition = definition as unknown as DocumentDefinitionParts;
    this.#asset = asset;
    this.#shown = new ValueStore<Snapshot<T> | undefined>(undefined, () => this.hold());
    this.history = documentHistory<T>({
      read: (run) => this.read(run),
      commitAt: (heads, edit, options) => this.#commitAt(heads, edit, options),
      authorOf: (actor) => this.#authors.get(actor) ?? null,
    });
  }

  readonly getSnapshot = (): Snapshot<T> | undefined => this.#shown.getSnapshot();
  readonly subscribe = (listener: () => void): Unsubscribe => this.#shown.subscribe(listener);

  readonly change = (edit: (draft: T) => void, options: ChangeOptions = {}): WriteHandle => {
    demand(typeof edit === "function", "change takes a function that edits a draft", edit);
    const { schema } = this.#definition;
    const validate = schema === null ? {} : { validate: (next: unknown) => refuseInvalid(schemaProblem(schema, next), this.name) };
    return this.edit((state, stamp) => state.change(edit, { ...validate, ...stamp }), options);
  };

  readonly onChange = (listener: (change: DocumentChange<T>) => void): Unsubscribe => {
    const own = (change: DocumentChange<T>): void => listener(change);
    const release = this.hold();
    this.#changeListeners.add(own);
    return () => {
      this.#changeListeners.delete(own);
      release();
    };
  };

  readonly text = (path: TextPath<T>): TextHandle => openText(this, path as unknown as Path);

  readonly conflicts = (path: Path): Store<readonly Conflict[]> => {
    const key = JSON.stringify(path);
    const known = this.#conflicts.get(key) ?? conflictsAt(this, () => this.#state?.conflicts(path) ?? null, (actor) => this.#authors.get(actor) ?? null);
    this.#conflicts.set(key, known);
    return known;
  };

  readonly export = (): Uint8Array => this.read((state) => state.export());

  readonly import = (file: Uint8Array): WriteHandle => {
    this.opened();
    const write = new Write();
    this.feed.countUnsaved(1);
    this.#layer!.changesOf(file) // an open document has its layer
      .then((changes) => this.#import(changes, write))
      .catch((cause: unknown) => write.markFailed(toSyncError(cause, this.name)))
      .finally(() => this.feed.countUnsaved(-1));
    return write;
  };

  // --------------------------------------------------------------------------------- for texts, history and rejections

  /** The open document. Throws `closed` and `not-ready`. */
  opened(): DocumentState<T> {
    if (this.#session.ended !== null) throw this.#session.ended;
    if (this.#state === null) throw new SyncError("not-ready", `the document "${this.name}" is not open yet: wait for ready`, { stream: this.name });
    return this.#state;
  }

  /** Looks at the open document, with the open change closed. Throws as `opened`, and the document's errors as `SyncError`. */
  read<R>(look: (state: DocumentState<T>) => R): R {
    this.opened();
    this.closeChange();
    return this.look(look);
  }

  /** As `read`, with the open change left open. */
  look<R>(look: (state: DocumentState<T>) => R): R {
    return guarded(() => look(this.opened()), this.name);
  }

  /** Who caused the step that is being told right now. */
  get origin(): Origin {
    return this.#origin;
  }

  /** Runs one local edit. What it changed joins the open change of this frame, if that has the same message. */
  edit(run: (state: DocumentState<T>, stamp: CommitOptions) => Step<unknown> | null, { message }: ChangeOptions): WriteHandle {
    this.opened();
    if (this.#open !== null && this.#open.message !== message) this.closeChange();
    this.#origin = "local";
    const step = guarded(() => run(this.opened(), stampOf(message)), this.name) as Step<T> | null;
    if (step === null) return emptyWrite(this.#lastWrite());
    if (this.#open === null) {
      this.#open = { write: new Write(() => this.closeChange()), message };
      this.feed.countUnsaved(1);
      this.#closing.request();
    }
    const { write } = this.#open;
    this.#tell(step, step.before, "local");
    return write;
  }

  /** Ends the open change: it becomes one event. */
  closeChange(): void {
    const open = this.#open;
    this.#closing.cancel();
    if (open === null || this.#state === null) return;
    this.#open = null;
    try {
      const commit = this.#state.commit(stampOf(open.message));
      if (commit === null) return open.write.markEmpty(this.#lastWrite());
      this.#send(commit, open.write);
    } catch (cause) {
      open.write.markFailed(toSyncError(cause, this.name));
    } finally {
      this.feed.countUnsaved(-1); // only now: it has been counted elsewhere, and at no moment does all seem saved
    }
  }

  /** Makes refused edits again on the document as it is now. Null: their places are gone. */
  retry(patches: readonly Patch[]): WriteHandle | null {
    let changed = true;
    const write = this.edit((state, stamp) => {
      const step = state.retry(patches, stamp);
      changed = step !== null;
      return step;
    }, {});
    return changed ? write : null;
  }

  // ------------------------------------------------------------------------------------------------- what the feed tells

  onEvents(_epoch: string, events: readonly EngineLogEvent[], own: ReadonlySet<string>): void {
    for (const event of events) {
      if (event.kind === 1) {
        this.feed.reportInvalid(event.offset ?? 0);
        continue;
      }
      if (event.kind === 3) void this.#expand(event.payload, event.offset ?? 0, event.author, () => this.feed.reportInvalid(event.offset ?? 0));
      else this.#arrived.push({ payload: event.payload, offset: event.offset ?? 0, author: event.author, ...(own.has(event.id) ? { own: event } : {}) });
      if (!own.has(event.id)) this.#onlyTabs = false;
    }
    if (this.#state !== null) this.#applying.request();
  }

  onWritten(event: PendingEvent): void {
    if (event.write !== null && this.#written.has(event.write)) return; // made here: applied already
    if (this.#state === null || event.kind !== 2) return; // it is among the pending ones when the document opens
    this.#arrived.push({ payload: event.payload, offset: 0, author: null });
    this.#applying.request();
  }

  onSnapshot(snapshot: Uint8Array, offset: number): void {
    void this.#expand(snapshot, offset, null, () => this.#fail(new SyncError("engine-failed", "the snapshot of this document cannot be read", { stream: this.name })));
    this.#onlyTabs = false;
  }

  onAgreed(): void {
    if (this.#state !== null) void this.#leaseActor(); // else when it opens
  }

  onRefused(events: readonly PendingEvent[]): void {
    if (this.#state === null) return;
    this.#applying.flush();
    this.#takeOut(events.map((event) => event.payload), []);
  }

  onUnsaved(): void {
    // The queue knows it, and what is to be done.
  }

  onPendingChanged(): void {
    this.#listSuperseded(); // ids were filled in, or changed
  }

  onCaughtUp(): void {
    this.#readAll = true;
    this.#openIfPossible();
  }

  onStatus(): void {
    this.#openIfPossible();
  }

  /** The document keeps what it has: its changes find their place in any log, and those that were lost are brought back. */
  onReset(): void {
    if (this.#state === null) {
      this.#arrived = []; // all of the new log comes
      return;
    }
    this.#applyArrived();
    this.closeChange();
    this.#state.logReplaced();
  }

  onClosed(): void {
    this.closeChange();
    this.#queue.flush();
    this.#reader?.detach();
    this.#reader = null;
    this.#stopListening();
    this.#applying.cancel();
    this.#state?.close();
    this.#state = null;
    this.#session.endLease(this.name, this);
    this.#leased = "";
    this.#givenUp.clear();
    this.#doubled.clear();
    this.#superseded.clear();
    this.#readAll = false;
    this.#arrived = [];
    this.#failed = null;
    this.#conflicts.clear();
    this.#shown.set(undefined);
  }

  onError(cause: unknown): void {
    this.#fail(cause);
  }

  protected override hold(): Unsubscribe {
    const release = super.hold();
    if (this.#reader === null) {
      this.#reader = this.feed.attach(this);
      this.#stopListening = this.#session.onHide(() => {
        this.closeChange();
        this.#queue.flush();
      });
      if (this.#layer === null) this.#load();
    }
    return release;
  }

  protected override hasContent(): boolean {
    return this.#state !== null;
  }

  protected override get failure(): SyncError | null {
    return this.#failed ?? super.failure;
  }

  // -------------------------------------------------------------------------------------------------------------- inside

  #load(): void {
    loadDocuments(this.#asset).then((layer) => {
      this.#layer = layer;
      this.#openIfPossible();
    }, (cause: unknown) => this.#fail(cause));
  }

  /** A whole document in the log: its changes take its place. The document opens when they are here. */
  async #expand(file: Uint8Array, offset: number, author: string | null, onUnreadable: () => void): Promise<void> {
    const reader = this.#reader;
    this.#expanding += 1;
    try {
      const layer = await loadDocuments(this.#asset);
      const changes = await layer.changesOf(file);
      if (this.#reader === reader) this.#arrived.push(...changes.map((payload) => ({ payload, offset, author })));
    } catch {
      if (this.#reader === reader) onUnreadable();
    }
    this.#expanding -= 1;
    if (this.#state !== null) this.#applying.request();
    else this.#openIfPossible();
  }

  #openIfPossible(): void {
    if (this.#state !== null || this.#expanding > 0 || this.#layer === null || !this.#readAll || !this.feed.isReady || this.#reader === null || this.failure !== null) return;
    const arrived = this.#arrived;
    const pending = this.#reader.pending.filter((event) => event.kind === 2).map((event) => event.payload);
    this.#arrived = [];
    try {
      const payloads = [...arrived.map(({ payload }) => payload), ...pending];
      this.#state = this.#layer.open<T>({ defaults: this.#definition.defaults, payloads, pending: pending.length });
    } catch (cause) {
      return this.#fail(cause);
    }
    this.#note(this.#state.opened, arrived);
    this.#shown.set(this.#state.snapshot);
    this.onFeedStatus();
    if (this.feed.state?.head != null) this.onAgreed();
  }

  /**
   * From here on the document is written under the page's leased actor: pages come and go, and each with an actor of its
   * own would leave it in the document for ever. Only when the relay has confirmed this device's chain: a copy of the
   * profile has the same actors until one of the two is found out.
   */
  async #leaseActor(): Promise<void> {
    const actor = await this.#session.leaseActor(this.name, this).catch(() => null);
    if (this.#state === null) return this.#session.endLease(this.name, this); // closed meanwhile
    if (actor === null || actor === this.#leased || this.feed.state?.head == null) return;
    if (this.#leased !== "") this.#givenUp.add(this.#leased);
    this.#givenUp.delete(actor);
    this.#leased = actor;
    this.#applyArrived();
    this.closeChange();
    this.#state.takeActor(Uint8Array.from({ length: 16 }, (_, at) => parseInt(actor.slice(2 * at, 2 * at + 2), 16)));
    this.#listSuperseded(); // what is open under the actor before may be a copy's too
  }

  #fail(cause: unknown): void {
    this.#failed = toSyncError(cause, this.name);
    this.onFeedStatus();
  }

  /** Applies what came from the log and from other tabs, once a frame. */
  #applyArrived(): void {
    this.#applying.cancel();
    if (this.#state === null || this.#arrived.length === 0) return;
    this.closeChange();
    const arrived = this.#arrived;
    this.#origin = this.#onlyTabs ? "other-tab" : "remote";
    this.#arrived = [];
    this.#onlyTabs = true;
    try {
      const step = this.#state.applyRemote(arrived.map(({ payload }) => payload));
      this.#note(step, arrived);
      this.#tell(step, step.before, this.#origin);
      if (step.displaced.length > 0) this.#redoQueued(step.displaced);
    } catch (cause) {
      this.#fail(cause);
    }
  }

  /** Counts what could not be applied, and learns who writes under which actor. */
  #note({ skipped, displaced }: RemoteStep<T>, arrived: readonly Arrived[]): void {
    for (const { index, reason, hash } of skipped) {
      const offset = arrived[index]?.offset ?? 0;
      if (offset > 0) this.feed.reportInvalid(offset);
      const own = arrived[index]?.own;
      if (hash === null || (reason !== "sequence-taken" && reason !== "needs-left-out")) continue;
      this.#supersede(hash, own);
    }
    for (const { hash } of displaced) this.#supersede(hash);
    this.#noteDoubled(arrived);
    this.#listSuperseded();
    for (const { payload, author } of arrived) {
      const actor = author === null ? undefined : this.#state?.inspect(payload)?.actor;
      if (author !== null && actor !== undefined) this.#authors.set(actor, author);
    }
  }

  /**
   * The same edit at the same place in the same second, by a copy of this profile that was not found out yet, is the same
   * change to the last byte: a document takes one of two events. Who comes second in the log has edited nothing. Own
   * events that this device wrote before it gave up what it shared with the copy are told by their id or actor; all others
   * that hold a change of another event are harmless: two devices made the first changes, or imported one file.
   */
  #noteDoubled(arrived: readonly Arrived[]): void {
    const state = this.#state;
    const open = [...(this.#reader?.pending ?? []), ...arrived.flatMap(({ own }) => own ?? [])].filter(({ kind }) => kind === 2);
    if (state === null || open.length === 0) return;
    const hashes = new Set(open.map(({ payload }) => state.inspect(payload)?.hash));
    for (const { payload, own } of arrived) {
      const change = state.inspect(payload);
      if (change === null || change.isFirst || !hashes.has(change.hash)) continue;
      if (own === undefined) this.#doubled.add(change.hash);
      else if (this.#isDoubled(own.id, change)) this.#supersede(change.hash, own);
    }
  }

  /** The log holds this change as an event of a copy of this profile. `id`: the own event's. */
  #isDoubled(id: string, { hash, actor }: { readonly hash: string; readonly actor: string }): boolean {
    return this.#doubled.has(hash) && (this.feed.pending.wasRenamed(id) || this.#givenUp.has(actor));
  }

  /** Own events whose changes gave way to those of a copy of this profile wait for a decision, as refused ones do. */
  #listSuperseded(): void {
    if (this.#superseded.size === 0 && this.#doubled.size === 0) return;
    for (const { id, kind, time, payload } of this.#reader?.pending ?? []) {
      const change = kind !== 2 || id === null ? null : this.#state?.inspect(payload);
      if (id === null || change == null) continue;
      if (this.#isDoubled(id, change)) this.#supersede(change.hash);
      this.#list(change.hash, { id, kind, time, payload });
    }
  }

  /** `event`: if it is in the log, and pending no more. */
  #supersede(hash: string, event?: OwnEvent): void {
    if (!this.#superseded.has(hash)) this.#superseded.set(hash, false);
    if (event !== undefined) this.#list(hash, event);
  }

  #list(hash: string, { id, kind, time, payload }: OwnEvent): void {
    if (this.#superseded.get(hash) !== false) return;
    this.#superseded.set(hash, true);
    this.#session.say({ type: "reject", id, stream: this.name, kind, time, payload, code: "profile-copied" });
  }

  /** Tells a step: first those who follow each step, then those who read snapshots. */
  #tell(step: Step<T>, before: Snapshot<T>, origin: Origin): void {
    const state = this.#state;
    if (state === null || Object.is(state.snapshot, before)) return;
    callAll(this.#changeListeners, {
      before: step.before,
      after: step.after,
      get patches() {
        return step.patches;
      },
      origin,
    });
    this.#shown.set(state.snapshot);
  }

  /** The last write to this stream that the relay has not answered, as far as this page knows. */
  #lastWrite(): Write | null {
    return this.#open?.write ?? this.#queue.last ?? this.feed.lastWrite();
  }

  /** Sends a commit: what goes before it, then the change itself. */
  #send(commit: Commit, write: Write): void {
    this.#queue.push([...commit.first.map(({ bytes }) => ({ bytes, write: new Write() })), { bytes: commit.bytes, write }]);
  }

  #append({ bytes, write }: QueuedChange): void {
    this.#written.add(write);
    const onOwn = this.#reader?.pending.some((event) => event.kind !== 1) ?? false;
    this.feed.append(2, bytes, write, onOwn);
  }

  /** Takes changes out with all that depends on them. What was queued on top of them, and is no event yet, is made again. */
  #takeOut(payloads: readonly Uint8Array[], behind: readonly QueuedChange[]): void {
    this.#queue.takeBack(() => this.closeChange(), (back) => {
      const state = this.#state;
      if (state === null) return;
      const queued = [...behind, ...back];
      const hashes = payloads.flatMap((payload) => state.inspect(payload)?.hash ?? []);
      this.#origin = "rejection";
      const step = state.without([...hashes, ...queued.flatMap(({ bytes }) => state.inspect(bytes)?.hash ?? [])]);
      this.#tell(step, step.before, "rejection");
      this.#redo(queued, step.dropped);
    });
  }

  /** Changes left the document because their numbers were taken: those that are no events yet are made again. */
  #redoQueued(dropped: readonly Dropped[]): void {
    const hashes = new Set(dropped.map(({ hash }) => hash));
    const isGone = ({ bytes }: QueuedChange): boolean => hashes.has(this.#state?.inspect(bytes)?.hash ?? "");
    this.#queue.takeBack(() => undefined, (queued) => {
      const kept = queued.filter((change) => !isGone(change));
      if (kept.length > 0) this.#queue.push(kept);
      this.#redo(queued.filter(isGone), dropped);
    });
  }

  /** Makes changes that left the document and were never handed over again, on the document as it is now. */
  #redo(changes: readonly QueuedChange[], dropped: readonly Dropped[]): void {
    const state = this.#state;
    if (state === null) return;
    for (const { bytes, write } of changes) {
      const hash = state.inspect(bytes)?.hash;
      const edits = dropped.find((change) => change.hash === hash)?.patches ?? [];
      this.#origin = "local";
      const again = state.retry(edits, stampOf(undefined));
      const commit = again === null ? null : state.commit(stampOf(undefined));
      if (again === null || commit === null) {
        write.markEmpty(this.#lastWrite());
        continue;
      }
      this.#send(commit, write.getSnapshot().stage === "unsaved" ? write : new Write());
      this.#tell(again, again.before, "local");
    }
  }

  /** Merges the changes of a file; the last one's write is that of the whole. */
  #import(payloads: readonly Uint8Array[], write: Write): void {
    this.opened();
    this.closeChange();
    const { step, changes } = this.opened().import(payloads);
    if (changes.length === 0) return write.markEmpty(this.#lastWrite());
    this.#queue.push(changes.map(({ bytes }, index) => ({ bytes, write: index === changes.length - 1 ? write : new Write() })));
    this.#tell(step, step.before, "local");
  }

  #commitAt(heads: Parameters<DocumentHistory<T>["changeAt"]>[0], edit: (draft: T) => void, { message }: ChangeOptions): WriteHandle {
    demand(typeof edit === "function", "changeAt takes a function that edits a draft", edit);
    this.opened();
    this.closeChange();
    const made = guarded(() => this.opened().changeAt(heads, edit, stampOf(message)), this.name);
    if (made === null) return emptyWrite(this.#lastWrite());
    const write = new Write();
    this.#send(made.commit, write);
    this.#tell(made.step, made.step.before, "local");
    return write;
  }
}

/** What is written on a change that is made now. */
function stampOf(message: string | undefined): CommitOptions {
  return { time: Date.now(), ...(message === undefined ? {} : { message }) };
}

/** Errors of the document layer become the package's; all others are the app's own and pass. */
function guarded<R>(run: () => R, stream: string): R {
  try {
    return run();
  } catch (cause) {
    throw cause instanceof DocumentError ? toSyncError(cause, stream) : cause;
  }
}
