/** Making edits again that were taken out of a document, on the document as it is now. */
import { splice } from "./draft.js";
import type { HiddenKind, RawPatch } from "./module.js";
import { read, toPatch } from "./snapshot.js";
import type { Patch } from "./types.js";
import { Counter, ImmutableString } from "./values.js";

/** What the values of a patch are beyond what they look like. */
const hidden = new WeakMap<Patch, readonly HiddenKind[]>();

/** A patch that can be made again as what it was. */
export function toRetryablePatch(raw: RawPatch): Patch {
  const patch = toPatch(raw);
  hidden.set(patch, raw[4]);
  return patch;
}

/** Makes edits on a draft. Those whose place is gone are left out. */
export function retryPatches(draft: object, patches: readonly Patch[]): void {
  for (const patch of patches) {
    const kinds = hidden.get(patch) ?? [];
    let container: unknown = draft;
    let holder: object = draft;
    for (const key of patch.path.slice(0, -1)) {
      holder = container as object;
      container = typeof container === "object" && container !== null ? read(container as never, key) : undefined;
    }
    const key = patch.path.at(-1)!;
    if (typeof container === "string") retryText(holder, patch.path.at(-2)!, container.length, patch, key as number);
    else if (Array.isArray(container) && typeof key === "number") retryList(container, patch, key, kinds);
    else if (typeof container === "object" && container !== null && typeof key === "string") retryMap(container as Record<string, unknown>, patch, key, kinds);
  }
}

function retryText(holder: object, key: string | number, length: number, patch: Patch, index: number): void {
  const at = Math.min(index, length);
  if (patch.action === "splice") splice(holder as never, key as never, at, 0, patch.value);
  if (patch.action === "del") splice(holder as never, key as never, at, Math.min(patch.length ?? 1, length - at));
}

function retryList(list: unknown[], patch: Patch, index: number, kinds: readonly HiddenKind[]): void {
  if (patch.action === "insert") list.splice(index, 0, ...patch.values.map((value, at) => stored(value, kinds[at])));
  else if (index >= list.length) return;
  else if (patch.action === "put") list[index] = stored(patch.value, kinds[0]);
  else if (patch.action === "del") list.splice(index, patch.length ?? 1);
  else if (patch.action === "inc") add(list[index], patch.value);
}

function retryMap(map: Record<string, unknown>, patch: Patch, key: string, kinds: readonly HiddenKind[]): void {
  if (patch.action === "put") map[key] = stored(patch.value, kinds[0]);
  else if (patch.action === "del") delete map[key];
  else if (patch.action === "inc") add(read(map, key), patch.value);
}

function add(counter: unknown, by: number): void {
  if (counter instanceof Counter) counter.increment(by);
}

function stored(value: unknown, kind: HiddenKind): unknown {
  if (kind === 6) return new Counter(value as number);
  return kind === 7 ? new ImmutableString(value as string) : value;
}
