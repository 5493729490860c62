// What must and must not compile. Names the promises of the types; nothing here runs.
import {
  Counter, defineDocument, defineStream, defineView, event, ImmutableString, splice, updateText,
  type Client, type InferDocument, type InferEvent, type InferView, type Offset, type StandardSchema, type Store, type StreamStatus,
} from "tidelog";

declare const client: Client;
type Eq<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;
function is<T extends true>(): T | undefined { return undefined; }

interface Card { id: ImmutableString; title: string; likes: Counter; due?: Date; tags: string[]; kids?: Card[] }
const Board = defineDocument<{ title: string; cards: Card[] }>({ defaults: { title: "", cards: [] } });
const Opt = defineDocument<Record<string, { body: string }>>();
// @ts-expect-error required keys need defaults
defineDocument<{ title: string }>();
// @ts-expect-error a Map cannot be stored
defineDocument<{ m: Map<string, string> }>({ defaults: { m: new Map() } });
// @ts-expect-error nor a function
defineDocument<{ f: () => void }>({ defaults: { f() {} } });
declare const schema: StandardSchema<{ a: string; b?: number }>;
const FromSchema = defineDocument({ schema, defaults: { a: "" } });
is<Eq<InferDocument<typeof FromSchema>, { a: string; b?: number }>>();
// @ts-expect-error defaults must fit the schema
defineDocument({ schema, defaults: { a: 1 } });

const board = client.document(Board, "b");
const snap = board.getSnapshot()!;
is<Eq<typeof snap.cards[0]["likes"], number>>();
is<Eq<typeof snap.cards[0]["id"], string>>();
// @ts-expect-error snapshots are read-only
snap.cards.push({});
// @ts-expect-error snapshots are read-only
snap.title = "";
board.change((d) => {
  d.cards.push({ id: new ImmutableString("x"), title: "", likes: new Counter(), tags: [] });
  splice(d.cards[0]!, "title", 0, 0, "x");
  updateText(d, "title", "y");
  splice(d.cards[0]!.tags, 0, 0, 0, "t");
});
// @ts-expect-error not a string key
board.change((d) => splice(d, "cards", 0, 0));
board.text(["cards", 0, "title"]);
board.text(["cards", 0, "tags", 1]);
board.text(["title"]);
// @ts-expect-error not text
board.text(["cards", 0, "likes"]);
// @ts-expect-error no such key
board.text(["nope"]);
client.document(Opt, "o").text(["any", "body"]);

const S = defineStream({ events: { paid: event<{ amount: number }>(), closed: event(), addr: schema } });
type E = InferEvent<typeof S>;
is<Eq<Extract<E, { type: "closed" }>["payload"], undefined>>();
const s = client.stream(S, "s");
s.append({ type: "closed" });
s.append({ type: "paid", payload: { amount: 1 } });
s.append({ type: "addr", payload: { a: "" } });
// @ts-expect-error wrong payload
s.append({ type: "paid", payload: { amount: "1" } });
// @ts-expect-error unknown type
s.append({ type: "nope" });
// @ts-expect-error payload missing
s.append({ type: "paid" });
const V = defineView(S, { name: "v", initial: 0, reduce: (n, e) => (e.type === "paid" ? n + e.payload.amount : n) });
is<Eq<InferView<typeof V>, number>>();
const v = s.view(V);
is<Eq<ReturnType<typeof v.getSnapshot>, number | undefined>>();
const T = defineStream({ events: { other: event() } });
// @ts-expect-error a view of another stream
client.stream(T, "t").view(V);
// @ts-expect-error a stream is not a document
client.document(S, "s");
// @ts-expect-error offsets are opaque
const o: Offset = "17";
s.read({ follow: true });
// @ts-expect-error exactOptionalPropertyTypes
s.read({ after: undefined });
// @ts-expect-error a write is not a promise
board.change(() => undefined).then;
is<Eq<typeof s.status, Store<StreamStatus>>>();
export const measure = (e: E): number => {
  switch (e.type) { // exhaustive: no default needed
    case "paid": return e.payload.amount;
    case "addr": return e.payload.a.length;
    case "closed": return 0;
  }
};
export { o };
