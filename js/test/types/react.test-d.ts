/** Types of the hooks: what narrows, and what does not compile. */
import { defineDocument, defineStream, defineView, event, type DocumentHandle, type Snapshot } from "tidelog";
import { useDocument, useSuspenseDocument, useSyncStatus, useView } from "tidelog/react";

type Eq<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(): T | undefined => undefined;

interface Board { title: string; cards: { id: string; text: string }[] }
const Board = defineDocument<Board>({ defaults: { title: "", cards: [] } });
const Orders = defineStream({ events: { paid: event<{ amount: number }>() } });
const Sum = defineView(Orders, { name: "sum", initial: 0, reduce: (sum, { payload }) => sum + payload.amount });
declare const maybe: string | null;

export function Hooks(): string {
  const board = useDocument(Board, "b");
  // @ts-expect-error not there before `ready`
  board.data.title;
  if (board.status === "ready") is<Eq<typeof board.data, Snapshot<Board>>>();
  is<Eq<typeof board.document, DocumentHandle<Board>>>();

  const { status, data } = useDocument(Board, "b", ({ cards }) => cards.length);
  if (status === "ready") is<Eq<typeof data, number>>();

  const chosen = useDocument(Board, maybe);
  if (chosen.status === "idle") is<Eq<typeof chosen.document, undefined>>();
  // @ts-expect-error there may be no name, and so no document
  chosen.document.change(() => undefined);

  const sum = useView(Sum, "o");
  if (sum.status === "ready") is<Eq<typeof sum.data, number>>();
  sum.stream.append({ type: "paid", payload: { amount: 1 } });
  // @ts-expect-error an event of another shape
  sum.stream.append({ type: "paid" });
  // @ts-expect-error a document is not a view
  useView(Board, "o");
  // @ts-expect-error snapshots are read-only
  useSuspenseDocument(Board, "b").data.title = "x";
  return useSyncStatus(({ savedOn }) => savedOn);
}
