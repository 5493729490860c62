/** The client: one user's local data and its connection. */
import { demand, isObject } from "./arguments.js";
import type { AppEvent, DocumentDefinition, StreamDefinition } from "./definitions.js";
import { DocumentHandleImpl } from "./document-handle.js";
import type { DocumentHandle } from "./document-types.js";
import { editsOfChanges } from "./document-rejections.js";
import { browserPorts } from "./engine/connect.js";
import type { EngineOptions } from "./engine/engine.js";
import type { LinkOptions } from "./engine/link.js";
import { SyncError } from "./errors.js";
import { LocalStreams, type LocalStream } from "./local-streams.js";
import { checkName } from "./names.js";
import { browserWords, OfflineChoice } from "./offline-choice.js";
import { RejectionList, type Rejection } from "./rejections.js";
import { Session } from "./session.js";
import type { SyncStatus } from "./status.js";
import type { Store } from "./store.js";
import { StreamHandleImpl, type StreamHandle } from "./stream/stream-handle.js";
import { WeakCache } from "./weak-cache.js";

/** Options of {@link createClient}. */
export interface ClientOptions {
  /** The relay, `wss://…` (or `https://…`), an absolute address. Left out: this device only (no relay, `accepted` never settles). */
  readonly url?: string;
  /**
   * A JWT, or a function called before each connection, before expiry, and when the relay refused the last one.
   * `null`: signed out; the connection is `needs-auth` and writes stay in the outbox. Never put in a URL.
   */
  readonly token?: string | ((why: { readonly refused: boolean }) => string | null | Promise<string | null>);
  /** Name of the app's local data, the same in every tab. */
  readonly database: string;
  /** Who is signed in: the token's subject. Each user has local data of their own. Left out: anonymous. */
  readonly user?: string;
  /** `false`: never ask the browser for persistent storage; default: asked once, after the first write. */
  readonly persist?: boolean;
  /** For a strict content security policy or a bundler that needs help: where the two WASM files and the worker are. */
  readonly assets?: { readonly engine?: string | URL; readonly document?: string | URL; readonly worker?: string | URL };
  /** Lines for a support ticket, each failed try to connect among them; never content or tokens. */
  readonly onLog?: (line: { readonly level: "info" | "warn" | "error"; readonly message: string }) => void;
}

/** One user's local data and its connection. All tabs with the same `database` and `user` share one engine. */
export interface Client {
  readonly database: string;
  /** Null: anonymous. */
  readonly user: string | null;
  /** The document of that name. Opens nothing; cached per definition and name. Throws `invalid-name` and `invalid-value`. */
  document<T extends object>(definition: DocumentDefinition<T>, name: string): DocumentHandle<T>;
  /** The stream of that name. Opens nothing; cached per definition and name. Throws `invalid-name` and `invalid-value`. */
  stream<E extends AppEvent>(definition: StreamDefinition<E>, name: string): StreamHandle<E>;
  readonly status: Store<SyncStatus>;
  /** What the relay refused, oldest first, until retried or discarded. Survives reload; the same in all tabs. */
  readonly rejections: Store<readonly Rejection[]>;
  /** What this device holds, by name prefix (one store each). The relay's own list is not public: keep an index document. */
  streams(prefix?: string): Store<readonly LocalStream[]>;
  /** Connects again after `needs-auth`, `stopped` or `disconnect`; asks for a fresh token. */
  connect(): void;
  /** Goes offline on purpose, in all tabs, until `connect`, also after a restart. */
  disconnect(): void;
  /** Resolves when the outbox is empty (each write accepted or rejected). Rejects with `signal.reason` on abort. */
  flush(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Asks the browser to keep the data; call it from a click. Resolves to whether it will. */
  requestPersistence(): Promise<boolean>;
  /** Deletes this user's local data, outbox and rejections included, in all tabs; then the client is closed. */
  deleteLocalData(): Promise<void>;
  /** Closes this page's part; data stays. Handles keep their last snapshot; writes throw `closed`. */
  close(): Promise<void>;
}

/** Makes a client. Does nothing until first use: safe at module level, under StrictMode, and on a server. Throws `invalid-value`. */
export function createClient(options: ClientOptions): Client {
  checkOptions(options);
  const offline = new OfflineChoice(engineOf(options), browserWords());
  return new ClientImpl(options, browserLink(options, offline), offline);
}

function checkOptions(options: ClientOptions): void {
  demand(isObject(options), 'createClient takes options such as { url: "wss://relay.example/sync", database: "my-app" }', options);
  const { url, token, database, user, onLog } = options;
  demand(typeof database === "string" && database !== "", "`database` must be the name of the app's local data, a string", database);
  demand(user === undefined || (typeof user === "string" && user !== ""), "`user` must be the token's subject, a string, or left out", user);
  demand(token === undefined || typeof token === "string" || typeof token === "function", "`token` must be a string or a function, or left out", token);
  demand(onLog === undefined || typeof onLog === "function", "`onLog` must be a function, or left out", onLog);
  demand(url === undefined || isRelayUrl(url), "`url` must be an absolute address of ws:, wss:, http: or https:, or left out", url);
}

function isRelayUrl(url: unknown): boolean {
  return typeof url === "string" && /^(ws|http)s?:\/\/./i.test(url) && URL.canParse(url);
}

/** An address of http is that of the WebSocket beside it, which not every browser knows. */
function engineOf(options: ClientOptions): EngineOptions {
  return { url: options.url?.replace(/^http/i, "ws") ?? null, database: options.database, user: options.user ?? null };
}

/** How a client reaches its engine in a browser. */
function browserLink(options: ClientOptions, offline: OfflineChoice): LinkOptions {
  const engine = engineOf(options);
  return {
    engine,
    isOffline: () => offline.isOffline,
    wasm: address(options.assets?.engine),
    hasToken: options.token !== undefined,
    ports: browserPorts(engine, address(options.assets?.worker)),
    locks: typeof navigator === "undefined" ? null : (navigator.locks ?? null),
  };
}

/** Relative to the page, since a worker would read it relative to its own script. */
function address(asset: string | URL | undefined): string | null {
  if (asset === undefined) return null;
  return typeof document === "undefined" ? String(asset) : new URL(asset, document.baseURI).href;
}

/** The one implementation; tests give it a link of their own. */
export class ClientImpl implements Client {
  readonly database: string;
  readonly user: string | null;
  readonly status: Store<SyncStatus>;
  readonly rejections: Store<readonly Rejection[]>;
  readonly #session: Session;
  readonly #rejections: RejectionList;
  readonly #streams: LocalStreams;
  readonly #offline: OfflineChoice;
  readonly #documentAsset: string | null;
  /** Definition to name to handle. */
  readonly #handles = new WeakMap<object, WeakCache<string, object>>();

  constructor(options: ClientOptions, link: LinkOptions, offline = new OfflineChoice(link.engine, null)) {
    this.#offline = offline;
    this.database = options.database;
    this.user = options.user ?? null;
    this.#documentAsset = address(options.assets?.document);
    this.#session = new Session(options, link, {
      onRejections: () => this.#rejections.refresh(),
      onEngineEvent: () => this.#streams.changed(),
    });
    this.#streams = new LocalStreams(this.#session);
    this.#rejections = new RejectionList(this.#session, editsOfChanges(this.#session, this.#documentAsset, (definition, name) => this.document(definition, name)));
    this.status = this.#session.status;
    this.rejections = this.#rejections.store;
  }

  readonly document = <T extends object>(definition: DocumentDefinition<T>, name: string): DocumentHandle<T> =>
    this.#handle("document", definition, name, () => new DocumentHandleImpl<T>(this.#session, definition, name, this.#documentAsset));

  readonly stream = <E extends AppEvent>(definition: StreamDefinition<E>, name: string): StreamHandle<E> =>
    this.#handle("stream", definition, name, () => new StreamHandleImpl<E>(this.#session, this.#rejections, definition, name));

  readonly streams = (prefix = ""): Store<readonly LocalStream[]> => this.#streams.list(prefix);

  readonly connect = (): void => {
    this.#offline.set(false);
    this.#session.say({ type: "connect" });
  };

  readonly disconnect = (): void => {
    this.#offline.set(true);
    this.#session.say({ type: "disconnect" });
  };

  readonly flush = (options: { readonly signal?: AbortSignal } = {}): Promise<void> => this.#session.flush(options.signal);

  readonly requestPersistence = (): Promise<boolean> => this.#session.requestPersistence();

  readonly deleteLocalData = async (): Promise<void> => {
    await this.#session.call("deleteLocalData");
    this.#end("the local data was deleted");
  };

  readonly close = async (): Promise<void> => {
    this.#session.hide();
    await this.#session.settle();
    this.#end("the client was closed");
  };

  #end(why: string): void {
    this.#session.end(new SyncError("closed", why));
  }

  #handle<H extends object>(kind: "document" | "stream", definition: { readonly kind: string }, name: string, make: () => H): H {
    demand(definition?.kind === kind, `client.${kind} takes a definition of define${kind === "document" ? "Document" : "Stream"}`, definition);
    checkName(name);
    const handles = this.#handles.get(definition) ?? new WeakCache<string, object>();
    this.#handles.set(definition, handles);
    return (handles.get(name) ?? handles.set(name, make())) as H;
  }
}
