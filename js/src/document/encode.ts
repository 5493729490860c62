/** From what an app assigns to how a document stores it: as `@automerge/automerge` does. */
import { nodeOf } from "./draft.js";
import type { Key, Kind } from "./module.js";
import { Counter, DocumentError, ImmutableString } from "./values.js";

/** How deep objects nest; the module refuses more. */
const DEPTH_MAX = 64;

/** A value with its kind. Maps and lists have `[key, value]` pairs. */
export interface Encoded {
  readonly kind: Kind;
  readonly content: unknown;
}

/** Throws `invalid-value` for what a document cannot hold. Drafts are copied. */
export function encode(value: unknown, depth = 1): Encoded {
  switch (typeof value) {
    case "boolean":
      return { kind: 1, content: value };
    case "number":
      return Number.isSafeInteger(value) && !Object.is(value, -0) ? { kind: 2, content: value } : { kind: 3, content: value };
    case "string":
      return { kind: 8, content: value.toWellFormed() };
    case "object":
      return value === null ? { kind: 0, content: null } : encodeObject(value, depth);
    case "undefined":
      throw invalid("`undefined` cannot be stored: delete the key, or use null");
    default:
      throw invalid(`a ${typeof value} cannot be stored in a document`);
  }
}

function encodeObject(value: object, depth: number): Encoded {
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) throw invalid("an invalid date cannot be stored");
    return { kind: 4, content: value.getTime() };
  }
  if (value instanceof Uint8Array) return { kind: 5, content: value.slice() };
  if (value instanceof Counter) {
    if (!Number.isSafeInteger(value.value)) throw invalid("a counter holds a whole number");
    return { kind: 6, content: value.value };
  }
  if (value instanceof ImmutableString) return { kind: 7, content: value.toString().toWellFormed() };
  if (depth > DEPTH_MAX) throw new DocumentError("too-large", "objects nest too deep, or contain themselves");
  const node = nodeOf(value);
  const item = (key: Key): unknown => (node === undefined ? (value as Record<Key, unknown>)[key] : node.recorder.storable(node, key));
  if (Array.isArray(value)) {
    const items = Array.from({ length: value.length }, (_, index) => [index, encode(item(index), depth + 1)] as const);
    return { kind: 10, content: items };
  }
  if (!isPlain(value)) throw invalid(`an object of a class (${value.constructor?.name ?? "unknown"}) cannot be stored in a document`);
  const entries = Object.keys(value).map((key) => {
    if (key === "__proto__") throw invalid('the key "__proto__" cannot be stored');
    return [key, encode(item(key), depth + 1)] as const;
  });
  return { kind: 9, content: entries };
}

/** For the module's constructor, which takes a whole tree: `[kind, content]` all the way down. */
export function encodeDefaults(defaults: object): readonly (readonly [string, unknown])[] {
  return Object.keys(defaults)
    .filter((key) => (defaults as Record<string, unknown>)[key] !== undefined)
    .map((key) => [key, tree(encode((defaults as Record<string, unknown>)[key]))] as const);
}

function tree({ kind, content }: Encoded): readonly [Kind, unknown] {
  const pairs = content as readonly (readonly [Key, Encoded])[];
  if (kind === 9) return [kind, pairs.map(([key, value]) => [key, tree(value)])];
  if (kind === 10) return [kind, pairs.map(([, value]) => tree(value))];
  return [kind, content];
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function invalid(message: string): DocumentError {
  return new DocumentError("invalid-value", message);
}
