/** The page under chaos: writes into shared documents and streams by itself, and says so to the ledger before anything else. */
import { createClient, defineDocument, defineStream, defineView, event, type WriteHandle } from "tidelog";
import { DOCUMENTS, REFUSED_STREAM, REFUSED_WORD, STREAMS, type ChaosPage, type Line, type Shared, type Shown, type ShownEvent } from "./shapes.js";

declare global {
  interface Window {
    chaos: ChaosPage;
  }
}

const Doc = defineDocument<Shared>({ defaults: { text: "", items: {}, list: [], last: "" } });
const Log = defineStream({ events: { added: event<{ token: string; text: string }>() } });
const List = defineView(Log, {
  name: "list",
  initial: [] as readonly (ShownEvent & { pending: boolean })[],
  reduce: (list, { id, payload, pending }) => [...list, { id: id ?? "", token: payload.token, pending }],
});

const options = new URL(location.href).searchParams;
const name = options.get("name") ?? "x";
const writeEveryMs = Number(options.get("every") ?? "0");
const client = createClient({ url: options.get("relay") ?? "", database: "chaos" });
const documents = DOCUMENTS.map((stream) => client.document(Doc, stream));
const streams = STREAMS.map((stream) => client.stream(Log, stream));
const views = streams.map((stream) => stream.view(List));

// ------------------------------------------------------------------------------------------------------------- the ledger

let lines: Line[] = [];

/**
 * Synchronous: nothing else happens in this page until the driver has written it down. False: the browser plays that
 * there is no network, so the lines wait.
 */
function tell(): boolean {
  if (lines.length === 0) return true;
  const request = new XMLHttpRequest();
  request.open("POST", "/ledger", false);
  try {
    request.send(JSON.stringify(lines));
  } catch {
    setTimeout(tell, 100);
    return false;
  }
  lines = [];
  return true;
}

function note(line: Line): void {
  lines.push(line);
  if (lines.length === 1) queueMicrotask(tell);
}

/** Writes under a new token; what becomes of it goes into the ledger. */
function write(stream: string, make: (token: string) => WriteHandle, refused = false): void {
  const token = `[${name}-${(count += 1)}]`;
  const begun: Line = { token, stage: "begun", stream, refused };
  lines.push(begun);
  if (!tell()) {
    lines = lines.filter((line) => line !== begun);
    return; // what the ledger does not know is not written
  }
  try {
    const handle = make(token);
    let told = "";
    const look = (): void => {
      const state = handle.getSnapshot();
      const line: Line = {
        token,
        stage: state.stage,
        ...("id" in state ? { id: state.id } : {}),
        ...("error" in state ? { code: state.error.rejection?.code ?? state.error.code } : {}),
      };
      const text = JSON.stringify(line);
      if (text === told) return;
      told = text;
      note(line);
    };
    handle.subscribe(look);
    look();
  } catch (cause) {
    note({ token, stage: "failed", code: String((cause as { code?: unknown }).code ?? cause) });
  }
}

let count = 0;

// ---------------------------------------------------------------------------------------------------------------- writing

/** Numbers from the seed of this page: xorshift. */
let random = Number(options.get("seed") ?? "1") | 1;
function below(bound: number): number {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return (random >>> 0) % bound;
}

function writeSomething(): void {
  if (below(2) === 0) appendTo(below(streams.length));
  else change(below(documents.length));
}

function appendTo(index: number): void {
  const refused = STREAMS[index] === REFUSED_STREAM && below(4) === 0;
  write(STREAMS[index]!, (token) => streams[index]!.append({ type: "added", payload: { token, text: refused ? REFUSED_WORD : "fine" } }), refused);
}

function change(index: number): void {
  const document = documents[index]!;
  const how = below(4);
  write(DOCUMENTS[index]!, (token) => {
    if (how < 2) {
      const text = document.getSnapshot()?.text ?? "";
      // Between two tokens, so that each stays in one piece.
      const from = below(text.length + 1);
      const at = from === 0 ? 0 : text.indexOf("]", from - 1) + 1;
      return document.text(["text"]).splice([{ index: at, deleteCount: 0, insert: token }]);
    }
    return document.change((draft) => {
      if (how === 2) draft.items[token] = name;
      else draft.list.splice(below(draft.list.length + 1), 0, token);
      draft.last = name;
    });
  });
}

// ------------------------------------------------------------------------------------------------------- what is shown

function shown(): Shown {
  const { savedOn, pending, behind, connection, storage } = client.status.getSnapshot();
  const statuses = [...documents, ...streams].map((handle) => handle.status.getSnapshot());
  const errors = ["error" in connection ? connection.error : null, storage.error, ...statuses.map(({ error }) => error)];
  return {
    savedOn,
    pending,
    behind,
    connection: connection.state,
    errors: errors.flatMap((error) => (error === null ? [] : [error.code])),
    documents: Object.fromEntries(documents.map((document) => {
      const { phase, invalid } = document.status.getSnapshot();
      const value = document.getSnapshot() as Shared | undefined;
      return [document.name, { phase, invalid, value, heads: value === undefined ? [] : [...document.history.heads()].sort() }];
    })),
    views: Object.fromEntries(streams.map((stream, index) => {
      const { phase } = stream.status.getSnapshot();
      return [stream.name, { phase, events: views[index]!.getSnapshot() ?? [] }];
    })),
    rejections: client.rejections.getSnapshot().map((rejection) => ({
      stream: rejection.stream,
      id: rejection.id,
      code: rejection.code,
      text: JSON.stringify(rejection.kind === "event" ? rejection.event : rejection.patches),
    })),
  };
}

/** Twice what there is time for in most rounds; one with a long silence has no more to heal than others. */
const WRITES_MAX = 200;
let writesLeft = writeEveryMs > 0 ? WRITES_MAX : 0;

function writeOn(): void {
  if (writesLeft === 0) return;
  if (documents.every((document) => document.getSnapshot() !== undefined)) {
    writeSomething();
    writesLeft -= 1;
  }
  setTimeout(writeOn, writeEveryMs / 2 + below(writeEveryMs));
}

const chaos = {
  ready: false,
  shown,
  async read(stream: string) {
    const events: ShownEvent[] = [];
    const handle = streams.find((known) => known.name === stream);
    if (handle === undefined) return events;
    for await (const { id, payload } of handle.read({ signal: AbortSignal.timeout(20_000) })) events.push({ id: id ?? "", token: payload.token });
    return events;
  },
  stop() {
    writesLeft = 0;
  },
  writeOnce() {
    for (const index of DOCUMENTS.keys()) change(index);
    for (const index of STREAMS.keys()) appendTo(index);
  },
  connect: () => client.connect(),
  shiftClock(ms: number) {
    new BroadcastChannel("chaos-clock").postMessage(ms);
  },
};
window.chaos = chaos;

client.status.subscribe(() => undefined);
client.rejections.subscribe(() => undefined);
for (const handle of [...documents, ...streams]) handle.keepOpen();
for (const view of views) view.subscribe(() => undefined);
void Promise.allSettled([...documents, ...streams].map((handle) => handle.ready)).then(() => {
  chaos.ready = true;
  writeOn();
});
