/** One stream of application events. */
import { demand } from "../arguments.js";
import type { AppEvent, StreamDefinition, StreamDefinitionParts, ViewDefinition, ViewDefinitionParts } from "../definitions.js";
import { FeedHandle, type Handle } from "../handle.js";
import type { Offset } from "../offset.js";
import type { EventRejection, RejectionList } from "../rejections.js";
import type { Session } from "../session.js";
import { ValueStore, type Store } from "../store.js";
import { WeakCache } from "../weak-cache.js";
import { Write, type WriteHandle } from "../write.js";
import { encodeEvent, type Logged } from "./events.js";
import { readEvents } from "./read.js";
import { View, type ViewHandle } from "./view.js";

/** Options of {@link StreamHandle.read}. */
export interface ReadOptions {
  /** Starts behind this offset; from the beginning if left out. `log-replaced`, `history-cut` if it cannot. */
  readonly after?: Offset;
  /** False (default): ends at the head as it is at the call. True: goes on with each new event until aborted. */
  readonly follow?: boolean;
  /** 0 to 1, at most once a frame. */
  readonly onProgress?: (progress: number) => void;
  /** Ends the reading: the iteration throws its reason. */
  readonly signal?: AbortSignal;
}

/** One stream of application events. */
export interface StreamHandle<E extends AppEvent> extends Handle {
  /** Adds an event: in every view at once (pending), in the log within milliseconds. Throws `invalid-value`, and `closed` after the client's end. */
  append(event: E): WriteHandle;
  /** The state of a view over this stream; cached like handles. */
  view<S>(definition: ViewDefinition<E, S>): ViewHandle<S>;
  /** Replays accepted events in offset order, upcast, one page in memory at a time. Pending ones are not included. */
  read(options?: ReadOptions): AsyncIterable<Logged<E>>;
  /** The refused events of this stream, typed. Survives reload. */
  readonly rejections: Store<readonly EventRejection<E>[]>;
}

/** The one implementation. */
export class StreamHandleImpl<E extends AppEvent> extends FeedHandle implements StreamHandle<E> {
  readonly rejections: Store<readonly EventRejection<E>[]>;
  readonly #session: Session;
  readonly #definition: StreamDefinitionParts;
  readonly #views = new WeakCache<ViewDefinitionParts, View<unknown>>();

  constructor(session: Session, rejections: RejectionList, definition: StreamDefinition<E>, name: string) {
    super(session.feed(name), "stream", session);
    this.#session = session;
    this.#definition = definition as unknown as StreamDefinitionParts;
    this.rejections = ofStream<E>(rejections, name);
  }

  readonly append = (event: E): WriteHandle => {
    const payload = encodeEvent(this.#definition, event, this.name);
    if (this.#session.ended !== null) throw this.#session.ended;
    const write = new Write();
    this.feed.append(1, payload, write, false);
    return write;
  };

  readonly view = <S>(definition: ViewDefinition<E, S>): ViewHandle<S> => {
    demand(definition?.kind === "view", "view takes a definition of defineView", definition);
    const parts = definition as unknown as ViewDefinitionParts<S>;
    const key = parts as ViewDefinitionParts;
    const made = this.#views.get(key) ?? this.#views.set(key, new View<unknown>(this.feed, key, this.#session.user));
    return made as View<S>;
  };

  readonly read = (options: ReadOptions = {}): AsyncIterable<Logged<E>> =>
    readEvents<E>(this.#session, this.feed, this.#definition, this, options);
}

/** The part of all rejections that is this stream's; the same array as long as it says the same. */
function ofStream<E extends AppEvent>(all: RejectionList, name: string): Store<readonly EventRejection<E>[]> {
  let before: readonly EventRejection<E>[] = [];
  const store = new ValueStore(before, () => all.store.subscribe(() => store.set(select())));
  const select = (): readonly EventRejection<E>[] => {
    const now = all.store.getSnapshot().filter((rejection) => rejection.kind === "event" && rejection.stream === name) as unknown as EventRejection<E>[];
    if (now.length !== before.length || now.some((rejection, index) => rejection !== before[index])) before = now;
    return before;
  };
  return { getSnapshot: select, subscribe: store.subscribe };
}
