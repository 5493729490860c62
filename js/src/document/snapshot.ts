/** Snapshots: immutable, sharing all that did not change with the one before. Frozen in development. */
import type { Key, RawPatch } from "./module.js";
import type { Patch } from "./types.js";

const [PUT, INSERT, SPLICE, DELETE, INCREMENT, CONFLICT] = [0, 1, 2, 3, 4, 5];

type Container = Record<string, unknown> | unknown[];

declare const process: { readonly env: { readonly NODE_ENV?: string } };

/** Bundlers put the mode in place of this expression; a browser without one has no `process`. */
const FREEZES = ((): boolean => {
  try {
    return process.env.NODE_ENV !== "production";
  } catch {
    return false;
  }
})();

/** True for what a snapshot nests: maps and lists. Dates and bytes are values. */
export function isContainer(value: unknown): value is Container {
  return typeof value === "object" && value !== null && !(value instanceof Date) && !(value instanceof Uint8Array);
}

/** Freezes a fresh snapshot, all of it. */
export function frozen<T>(value: T): T {
  if (FREEZES && isContainer(value) && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) frozen(inner);
    Object.freeze(value);
  }
  return value;
}

/** Applies patches to a snapshot. A conflict makes new references too: what watches a place must look again. */
export function applyPatches<T>(snapshot: T, patches: readonly RawPatch[]): T {
  if (patches.length === 0) return snapshot;
  const holder = { root: snapshot as unknown };
  // Copies made by this call may be changed in place.
  const fresh = new Set<unknown>([holder]);
  for (const [action, path, content] of patches) {
    const full: Key[] = ["root", ...path];
    let container: Container = holder;
    // The container of the place; for a text, that of the text.
    let last = full.length - 1;
    for (let depth = 0; depth < last; depth++) {
      const inner = read(container, full[depth]!);
      if (typeof inner === "string") {
        last = depth;
        break;
      }
      const copy: Container = fresh.has(inner) ? (inner as Container) : Array.isArray(inner) ? [...inner] : { ...(inner as object) };
      fresh.add(copy);
      write(container, full[depth]!, copy);
      container = copy;
    }
    const key = full[last]!;
    if (last < full.length - 1) write(container, key, patchText(read(container, key) as string, action, full.at(-1) as number, content));
    else patchPlace(container, key, action, content, fresh);
  }
  if (FREEZES) for (const copy of fresh) if (copy !== holder) Object.freeze(copy);
  return holder.root as T;
}

function patchText(text: string, action: number, index: number, content: unknown): string {
  if (action === SPLICE) return text.slice(0, index) + (content as string) + text.slice(index);
  return action === DELETE ? text.slice(0, index) + text.slice(index + (content as number)) : text;
}

function patchPlace(container: Container, key: Key, action: number, content: unknown, fresh: Set<unknown>): void {
  switch (action) {
    case PUT:
      write(container, key, own(content, fresh));
      break;
    case INSERT:
      insert(container as unknown[], key as number, (content as unknown[]).map((value) => own(value, fresh)));
      break;
    case DELETE:
      if (Array.isArray(container)) container.splice(key as number, content as number);
      else delete container[key];
      break;
    case INCREMENT:
      write(container, key, (read(container, key) as number) + (content as number));
      break;
    case CONFLICT:
      break;
  }
}

/** A new container comes empty. The snapshot gets one of its own to fill: the patch stays as it is. */
function own(value: unknown, fresh: Set<unknown>): unknown {
  if (!isContainer(value)) return value;
  const copy = Array.isArray(value) ? [] : {};
  fresh.add(copy);
  return copy;
}

function insert(list: unknown[], index: number, values: unknown[]): void {
  // Each value of one call lies on the stack, so a long list goes in pieces.
  for (let at = 0; at < values.length; at += 10_000) list.splice(index + at, 0, ...values.slice(at, at + 10_000));
}

/** Own properties only: a key may be called like something that every object has. */
export function read(container: Container, key: Key): unknown {
  return Object.hasOwn(container, key) ? (container as Record<Key, unknown>)[key] : undefined;
}

function write(container: Container, key: Key, value: unknown): void {
  if (key === "__proto__") Object.defineProperty(container, key, { value, writable: true, enumerable: true, configurable: true });
  else (container as Record<Key, unknown>)[key] = value;
}

/** A patch as apps see it. */
export function toPatch([action, path, content]: RawPatch): Patch {
  switch (action) {
    case PUT:
      return { action: "put", path, value: content };
    case INSERT:
      return { action: "insert", path, values: content as unknown[] };
    case SPLICE:
      return { action: "splice", path, value: content as string };
    case DELETE:
      return content === 1 ? { action: "del", path } : { action: "del", path, length: content as number };
    case INCREMENT:
      return { action: "inc", path, value: content as number };
    default:
      return { action: "conflict", path };
  }
}
