/** A document: Automerge state under a stream name, edited at once and saved a frame at a time. */
import type { DocumentDefinition, DocumentDefinitionParts } from "./definitions.js";
import { conflictsAt } from "./document-conflicts.js";
import { documentHistory } from "./document-history.js";
import { loadDocuments, type DocumentLayer } from "./document-loading.js";
import { ChangeQueue, type QueuedChange } from "./document-queue.js";
import { openText, type TextHandle } from "./document-text.js";
import type { ChangeOptions, Conflict, DocumentChange, DocumentHandle, DocumentHistory, Origin } from "./document-types.js";
import type { DocumentState } from "./document/index.js";
import type { Commit, Patch, Path, RemoteStep, Snapshot, Step, TextPath } from "./document/types.js";
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
}

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
  #stopListening: Unsubscribe = () => undefined;
  #open: OpenChange | null = null;
  /** What came from the log and from other tabs and waits for the next frame, or for the document to open. */
  #arrived: Arrived[] = [];
  /** True while everything in `#arrived` came from another tab of this device. */
  #onlyTabs = true;
  /** Who is known to write under which Automerge actor. */
  readonly #authors = new Map<string, string>();
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
    const { schema } = this.#definition;
    const validate = schema === null ? {} : { validate: (next: unknown) => refuseInvalid(schemaProblem(schema, next), this.name) };
    return this.edit((state) => state.change(edit, validate), options);
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
    this.closeChange();
    const before = this.getSnapshot()!; // an open document has a snapshot
    const { step, changes } = guarded(() => this.opened().import(file), this.name);
    if (changes.length === 0) return emptyWrite();
    const queued = changes.map(({ bytes }) => ({ bytes, write: new Write() }));
    this.#queue.push(queued);
    this.#tell(step, before, "local");
    return queued.at(-1)!.write;
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
  edit(run: (state: DocumentState<T>) => Step<unknown> | null, { message }: ChangeOptions): WriteHandle {
    this.opened();
    if (this.#open !== null && this.#open.message !== message) this.closeChange();
    this.#origin = "local";
    const step = guarded(() => run(this.opened()), this.name) as Step<T> | null;
    if (step === null) return emptyWrite();
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
    this.feed.countUnsaved(-1);
    try {
      const commit = this.#state.commit({ time: Date.now(), ...(open.message === undefined ? {} : { message: open.message }) });
      if (commit === null) return open.write.markEmpty();
      this.#send(commit, open.write);
    } catch (cause) {
      open.write.markFailed(toSyncError(cause, this.name));
    }
  }

  /** Makes refused edits again on the document as it is now. Null: their places are gone. */
  retry(patches: readonly Patch[]): WriteHandle | null {
    let changed = true;
    const write = this.edit((state) => {
      const step = state.retry(patches);
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
      this.#arrived.push({ payload: event.payload, offset: event.offset ?? 0, author: event.author });
      if (!own.has(event.id)) this.#onlyTabs = false;
    }
    if (this.#state !== null) this.#applying.request();
  }

  onWritten(event: PendingEvent): void {
    if (event.write !== null && this.#written.has(event.write)) return; // made here: applied already
    if (this.#state === null) return; // it is among the pending ones when the document opens
    this.#arrived.push({ payload: event.payload, offset: 0, author: null });
    this.#applying.request();
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
    // Ids were filled in: a document does not show them.
  }

  onCaughtUp(): void {
    this.#readAll = true;
    this.#openIfPossible();
  }

  onStatus(): void {
    this.#openIfPossible();
  }

  onReset(): void {
    // The document keeps what it has: its changes find their place in any log, and those that were lost are brought back.
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

  #openIfPossible(): void {
    if (this.#state !== null || this.#layer === null || !this.#readAll || !this.feed.isReady || this.#reader === null || this.failure !== null) return;
    const arrived = this.#arrived;
    const pending = this.#reader.pending.filter((event) => event.kind !== 1).map((event) => event.payload);
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
    } catch (cause) {
      this.#fail(cause);
    }
  }

  /** Counts what could not be applied, and learns who writes under which actor. */
  #note({ skipped }: RemoteStep<T>, arrived: readonly Arrived[]): void {
    for (const { index } of skipped) {
      const offset = arrived[index]?.offset ?? 0;
      if (offset > 0) this.feed.reportInvalid(offset);
    }
    for (const { payload, author } of arrived) {
      const actor = author === null ? undefined : this.#state?.inspect(payload)?.actor;
      if (author !== null && actor !== undefined) this.#authors.set(actor, author);
    }
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

  /** Sends a commit: the deterministic first changes that the log lacks, then the change itself. */
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
    const queued = [...behind, ...this.#queue.takeBack(() => this.closeChange())];
    const state = this.#state;
    if (state === null) return;
    const hashes = payloads.flatMap((payload) => state.inspect(payload)?.hash ?? []);
    this.#origin = "rejection";
    const step = state.without([...hashes, ...queued.flatMap(({ bytes }) => state.inspect(bytes)?.hash ?? [])]);
    this.#tell(step, step.before, "rejection");
    for (const { bytes, write } of queued) {
      const hash = state.inspect(bytes)?.hash;
      const edits = step.dropped.find((dropped) => dropped.hash === hash)?.patches ?? [];
      this.#origin = "local";
      const again = state.retry(edits);
      const commit = again === null ? null : state.commit({ time: Date.now() });
      if (again === null || commit === null) {
        write.markEmpty();
        continue;
      }
      this.#send(commit, write.getSnapshot().stage === "unsaved" ? write : new Write());
      this.#tell(again, again.before, "local");
    }
  }

  #commitAt(heads: Parameters<DocumentHistory<T>["changeAt"]>[0], edit: (draft: T) => void, { message }: ChangeOptions): WriteHandle {
    this.opened();
    this.closeChange();
    const options = { time: Date.now(), ...(message === undefined ? {} : { message }) };
    const made = guarded(() => this.opened().changeAt(heads, edit, options), this.name);
    if (made === null) return emptyWrite();
    const write = new Write();
    this.#send(made.commit, write);
    this.#tell(made.step, made.step.before, "local");
    return write;
  }
}

/** Errors of the document layer become the package's; all others are the app's own and pass. */
function guarded<R>(run: () => R, stream: string): R {
  try {
    return run();
  } catch (cause) {
    throw cause instanceof DocumentError ? toSyncError(cause, stream) : cause;
  }
}
