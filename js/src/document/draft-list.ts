/** The methods of a draft's lists that change them: each is the few operations that say what was meant. */
import type { Node } from "./draft.js";
import { DocumentError } from "./values.js";

type Method = (node: Node, ...args: never[]) => unknown;

/** The draft's values, as reading it gives them. */
function values(node: Node): unknown[] {
  return Array.prototype.slice.call(node.proxy);
}

function lengthOf(node: Node): number {
  return (node.proxy as unknown[]).length;
}

/** As the language defines positions: negative ones count from the end, all are brought within the list. */
function position(value: number | undefined, length: number, missing: number): number {
  if (value === undefined) return missing;
  const whole = Math.trunc(Number(value)) || 0;
  return whole < 0 ? Math.max(length + whole, 0) : Math.min(whole, length);
}

/** By name. All other methods of arrays only read, and work through the draft. */
export const listMethods: Readonly<Record<string, Method>> = {
  push(node: Node, ...added: unknown[]): number {
    node.recorder.splice(node, lengthOf(node), 0, added);
    return lengthOf(node);
  },
  pop(node: Node): unknown {
    const last = (node.proxy as unknown[]).at(-1);
    if (lengthOf(node) > 0) node.recorder.splice(node, lengthOf(node) - 1, 1, []);
    return last;
  },
  shift(node: Node): unknown {
    const first = (node.proxy as unknown[])[0];
    if (lengthOf(node) > 0) node.recorder.splice(node, 0, 1, []);
    return first;
  },
  unshift(node: Node, ...added: unknown[]): number {
    node.recorder.splice(node, 0, 0, added);
    return lengthOf(node);
  },
  splice(node: Node, ...args: [start?: number, count?: number, ...added: unknown[]]): unknown[] {
    const before = values(node);
    const start = position(args[0], before.length, 0);
    const rest = before.length - start;
    const count = args.length === 0 ? 0 : args.length === 1 ? rest : Math.min(Math.max(Math.trunc(Number(args[1])) || 0, 0), rest);
    node.recorder.splice(node, start, count, args.slice(2));
    return before.slice(start, start + count);
  },
  fill(node: Node, value: unknown, start?: number, end?: number): object {
    const length = lengthOf(node);
    const upto = position(end, length, length);
    for (let index = position(start, length, 0); index < upto; index++) node.recorder.set(node, index, value);
    return node.proxy;
  },
  sort(node: Node, compare?: (a: unknown, b: unknown) => number): object {
    return reorder(node, values(node).sort(compare));
  },
  reverse(node: Node): object {
    return reorder(node, values(node).reverse());
  },
  copyWithin(): never {
    throw new DocumentError("invalid-value", "copyWithin is not possible on a document's list");
  },
};

/** Moving is deleting and inserting, so only what is out of place is moved: all between the first and last that differ. */
function reorder(node: Node, wanted: unknown[]): object {
  const before = values(node);
  const same = (index: number): boolean => Object.is(before[index], wanted[index]);
  let from = 0;
  let to = before.length;
  while (from < to && same(from)) from++;
  while (to > from && same(to - 1)) to--;
  if (to > from) node.recorder.splice(node, from, to - from, wanted.slice(from, to));
  return node.proxy;
}
