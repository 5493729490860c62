/**
 * Drafts: what `change` hands to the app. A draft looks like a mutable copy of the document, reads what it has written,
 * and records each step as an operation on the very object it was made on, so that steps merge with those of others.
 */
import { encode, type Encoded } from "./encode.js";
import { listMethods } from "./draft-list.js";
import type { HiddenKind, Key, Operation, RawObject, Target } from "./module.js";
import { isContainer, read } from "./snapshot.js";
import { Counter, DocumentError, ImmutableString } from "./values.js";

type Container = Record<string, unknown> | unknown[];

/** Answers what a snapshot does not show, about the document as it was before the draft. */
export interface DraftSource {
  child(object: string, key: Key): RawObject | undefined;
  kind(object: string, key: Key): HiddenKind;
}

/** Redux Toolkit asks for this to know a draft. */
const IMMER_STATE = Symbol.for("immer-state");

/** Where a value of the snapshot was before this draft moved anything. */
interface Origin {
  readonly parent: Node;
  readonly key: Key;
}

/** A string or number in a changed copy: remembers where it comes from, since it has no identity of its own. */
class Cell {
  counter: Counter | undefined;

  constructor(
    readonly value: string | number,
    /** Null for one that this draft wrote. */
    readonly origin: Origin | null,
    /** The number of the text that this draft made. */
    readonly made: number | null,
  ) {}
}

/** A map or list of the draft. `raw` never changes; `copy` is there once something in it did. */
export interface Node {
  readonly recorder: Recorder;
  readonly raw: Container;
  readonly proxy: object;
  /** Null for one that this draft made. */
  readonly origin: Origin | null;
  target: Target | undefined;
  copy: Container | undefined;
}

const nodes = new WeakMap<object, Node>();

/** The node behind a draft. */
export function nodeOf(value: unknown): Node | undefined {
  return typeof value === "object" && value !== null ? nodes.get(value) : undefined;
}

/** One edit: the draft's root, and what it recorded. */
export class Recorder {
  readonly operations: Operation[] = [];
  readonly root: object;
  readonly #source: DraftSource;
  readonly #children = new Map<object, Node>();
  #made = 0;
  #closed = false;

  constructor(snapshot: object, source: DraftSource) {
    this.#source = source;
    this.root = this.#node(snapshot as Container, null, "_root").proxy;
  }

  /** From here on the draft is dead: writing throws. */
  close(): void {
    this.#closed = true;
  }

  /** The content as a snapshot would show it. */
  result(): unknown {
    return this.#plain(nodeOf(this.root)!.raw);
  }

  // -------------------------------------------------------------------------------------------------------------- reading

  /** What is at a key: drafts of maps and lists, counters, and copies of dates and bytes. */
  get(node: Node, key: Key): unknown {
    const value = read(content(node), key);
    if (value instanceof Cell) return this.#readCell(node, value);
    if (typeof value === "number") return this.#kindAt(node, key) === 6 ? this.#readCell(node, this.#cell(node, key)) : value;
    if (value instanceof Date) return new Date(value);
    if (value instanceof Uint8Array) return value.slice();
    return isContainer(value) ? this.#childOf(node, key, value).proxy : value;
  }

  /** As `get`, but as it would have to be written to be the same again. */
  storable(node: Node, key: Key): unknown {
    const value = this.get(node, key);
    if (typeof value !== "string") return value;
    const raw = read(content(node), key);
    const kind = raw instanceof Cell ? this.#kindOf(raw) : this.#kindAt(node, key);
    return kind === 7 ? new ImmutableString(value) : value;
  }

  #readCell(node: Node, cell: Cell): unknown {
    if (cell.counter !== undefined) return cell.counter;
    if (typeof cell.value === "string" || this.#kindOf(cell) !== 6) return cell.value;
    return (cell.counter = new Counter(cell.value, (by) => this.#increment(node, cell, by)));
  }

  #kindOf({ origin }: Cell): HiddenKind {
    return origin === null ? undefined : this.#kindAt(origin.parent, origin.key);
  }

  /** Of a value that this draft has not touched. */
  #kindAt(node: Node, key: Key): HiddenKind {
    const target = this.target(node);
    return typeof target === "string" ? this.#source.kind(target, key) : undefined;
  }

  #plain(raw: Container): unknown {
    const node = this.#children.get(raw);
    const now = node === undefined ? raw : content(node);
    const value = (inner: unknown): unknown => {
      if (inner instanceof Cell) return inner.counter?.value ?? inner.value;
      if (inner instanceof Counter) return inner.value;
      if (inner instanceof ImmutableString) return inner.toString();
      return isContainer(inner) ? this.#plain(inner) : inner;
    };
    if (Array.isArray(now)) return now.map(value);
    return Object.fromEntries(Object.entries(now).map(([key, inner]) => [key, value(inner)]));
  }

  // -------------------------------------------------------------------------------------------------------------- writing

  /** Sets a key of a map, or an index of a list up to its length. */
  set(node: Node, key: Key, value: unknown): void {
    if (Array.isArray(node.raw)) {
      const list = content(node) as unknown[];
      if (key === list.length) return this.splice(node, list.length, 0, [value]);
      if (typeof key !== "number" || key < 0 || key > list.length) throw invalid("a list has no holes: that index is beyond its end");
    } else if (key === "__proto__") throw invalid('the key "__proto__" cannot be stored');
    const stored = encode(value);
    this.#open();
    changed(node)[key as never] = this.#store(node, key, stored, 0) as never;
  }

  /** Deletes a key of a map. */
  delete(node: Node, key: string): void {
    if (!Object.hasOwn(content(node), key)) return;
    this.#open();
    this.operations.push([2, this.target(node), key, 1]);
    delete (changed(node) as Record<string, unknown>)[key];
  }

  /** In a list, `values` take the place of `count` elements. */
  splice(node: Node, index: number, count: number, values: readonly unknown[]): void {
    const stored = values.map((value) => encode(value));
    if (count === 0 && stored.length === 0) return;
    this.#open();
    if (count > 0) this.operations.push([2, this.target(node), index, count]);
    const list = changed(node) as unknown[];
    list.splice(index, count);
    stored.forEach((value, at) => list.splice(index + at, 0, this.#store(node, index + at, value, 1)));
  }

  /** Edits a string in place. */
  spliceText(node: Node, key: Key, index: number, deleteCount: number, insert: string): void {
    const { cell, target } = this.#text(node, key);
    const text = cell.value as string;
    if (![index, deleteCount].every((n) => Number.isSafeInteger(n) && n >= 0) || index + deleteCount > text.length) {
      throw invalid("that part is not within the string");
    }
    // Whole characters: half of a surrogate pair is none.
    const start = splits(text, index) ? index - 1 : index;
    const upto = index + deleteCount;
    const end = deleteCount === 0 ? start : splits(text, upto) ? upto + 1 : upto;
    const added = insert.toWellFormed();
    if (start === end && added === "") return;
    this.operations.push([4, target, start, end - start, added]);
    this.#write(node, key, new Cell(text.slice(0, start) + added + text.slice(end), cell.origin, cell.made));
  }

  /** Makes a string equal to `text` by the smallest edit. */
  updateText(node: Node, key: Key, text: string): void {
    const { cell, target } = this.#text(node, key);
    const wanted = text.toWellFormed();
    if (wanted === cell.value) return;
    this.operations.push([5, target, wanted]);
    this.#write(node, key, new Cell(wanted, cell.origin, cell.made));
  }

  #increment(node: Node, cell: Cell, by: number): void {
    this.#open();
    if (!Number.isSafeInteger(by)) throw invalid("a counter is changed by whole numbers");
    const now = content(node);
    const key = Array.isArray(now) ? now.indexOf(cell) : Object.keys(now).find((key) => read(now, key) === cell);
    if (key === undefined || key === -1) throw invalid("this counter is no longer in the document");
    this.operations.push([3, this.target(node), key, by]);
  }

  #text(node: Node, key: Key): { cell: Cell; target: Target } {
    this.#open();
    if (typeof read(content(node), key) !== "string" && !(read(content(node), key) instanceof Cell)) throw invalid("there is no string at this place");
    const cell = this.#cell(node, key);
    if (typeof cell.value !== "string") throw invalid("there is no string at this place");
    if (cell.made !== null) return { cell, target: cell.made };
    const parent = cell.origin === null ? undefined : this.target(cell.origin.parent);
    const text = typeof parent === "string" ? this.#source.child(parent, cell.origin!.key) : undefined;
    if (text?.[1] !== "text") throw invalid("an immutable string is replaced, not edited");
    return { cell, target: text[0] };
  }

  /** Records a new value at a key (`code` 0) or inserted there (1); gives what stands for it in the copy. */
  #store(node: Node, key: Key, { kind, content: value }: Encoded, code: 0 | 1): unknown {
    const target = this.target(node);
    const isObject = kind >= 8;
    const inner = kind === 9 || kind === 10 ? null : value;
    this.operations.push(code === 0 ? [0, target, key, kind, inner] : [1, target, key as number, kind, inner]);
    const made = isObject ? this.#made++ : null;
    if (kind === 8) return new Cell(value as string, null, made);
    if (kind === 7) return new ImmutableString(value as string);
    if (kind === 6) {
      const cell = new Cell(value as number, null, null);
      cell.counter = new Counter(value as number, (by) => this.#increment(node, cell, by));
      return cell;
    }
    if (kind === 4) return new Date(value as number);
    if (made === null) return value;
    const raw: Container = kind === 10 ? [] : {};
    const child = this.#node(raw, null, made);
    const copy = changed(child);
    for (const [innerKey, item] of value as readonly (readonly [Key, Encoded])[]) {
      const stored = this.#store(child, innerKey, item, kind === 10 ? 1 : 0);
      if (Array.isArray(copy)) copy.push(stored);
      else copy[innerKey as string] = stored;
    }
    return raw;
  }

  #write(node: Node, key: Key, cell: Cell): void {
    changed(node)[key as never] = cell as never;
  }

  /** The cell at a key, whose content a snapshot had as a plain string or number. */
  #cell(node: Node, key: Key): Cell {
    const copy = changed(node) as Record<Key, unknown>;
    const value = copy[key];
    if (value instanceof Cell) return value;
    const cell = new Cell(value as string | number, node.origin === null && node.target !== "_root" ? null : { parent: node, key }, null);
    copy[key] = cell;
    return cell;
  }

  // ---------------------------------------------------------------------------------------------------------------- nodes

  /** The object of a node, asked for when it is first written to. */
  target(node: Node): Target {
    if (node.target !== undefined) return node.target;
    const { parent, key } = node.origin!; // only made ones and the root have none, and they have a target
    const at = Array.isArray(parent.raw) ? parent.raw.indexOf(node.raw) : key;
    const found = this.#source.child(this.target(parent) as string, at);
    if (found === undefined) throw invalid("this part is no longer in the document");
    node.target = found[0];
    return node.target;
  }

  #childOf(parent: Node, key: Key, raw: Container): Node {
    return this.#children.get(raw) ?? this.#node(raw, { parent, key }, undefined);
  }

  #node(raw: Container, origin: Origin | null, target: Target | undefined): Node {
    const shell: object = Array.isArray(raw) ? [] : {};
    const node: Node = { recorder: this, raw, proxy: new Proxy(shell, TRAPS), origin, target, copy: undefined };
    nodes.set(shell, node);
    nodes.set(node.proxy, node);
    this.#children.set(raw, node);
    return node;
  }

  #open(): void {
    if (this.#closed) throw invalid("a draft is used only inside its own `change`");
  }
}

function content(node: Node): Container {
  return node.copy ?? node.raw;
}

/** The content to write to. Strings and numbers of a list move, so they remember where they were. */
function changed(node: Node): Container {
  const isNew = node.origin === null && node.target !== "_root";
  node.copy ??= Array.isArray(node.raw)
    ? node.raw.map((value, key) => (!isNew && (typeof value === "string" || typeof value === "number") ? new Cell(value, { parent: node, key }, null) : value))
    : { ...node.raw };
  return node.copy;
}

function splits(text: string, index: number): boolean {
  return index > 0 && index < text.length && /[\ud800-\udbff]/.test(text[index - 1]!) && /[\udc00-\udfff]/.test(text[index]!);
}

function invalid(message: string): DocumentError {
  return new DocumentError("invalid-value", message);
}

/** Proxies give property names as strings; a list's index is a number. `undefined`: not a place in it. */
function keyOf(node: Node, property: string | symbol): Key | undefined {
  if (typeof property === "symbol") return undefined;
  if (!Array.isArray(node.raw)) return property;
  return /^(0|[1-9]\d{0,9})$/.test(property) ? Number(property) : undefined;
}

const TRAPS: ProxyHandler<object> = {
  get(shell, property) {
    const node = nodes.get(shell)!;
    if (property === IMMER_STATE) return node;
    if (Array.isArray(node.raw)) {
      if (property === "length") return (content(node) as unknown[]).length;
      if (typeof property === "string" && Object.hasOwn(listMethods, property)) return listMethods[property]!.bind(null, node);
    }
    const key = keyOf(node, property);
    if (key !== undefined && Object.hasOwn(content(node), key)) return node.recorder.get(node, key);
    return Reflect.get(Object.getPrototypeOf(node.raw), property, node.proxy);
  },
  set(shell, property, value) {
    const node = nodes.get(shell)!;
    const key = keyOf(node, property);
    if (Array.isArray(node.raw) && property === "length") {
      const { length } = content(node) as unknown[];
      if (!Number.isSafeInteger(value) || value < 0 || value > length) throw invalid("a list is made longer by adding to it");
      node.recorder.splice(node, value, length - value, []);
    } else if (key === undefined) throw invalid("a document has no such property");
    else node.recorder.set(node, key, value);
    return true;
  },
  deleteProperty(shell, property) {
    const node = nodes.get(shell)!;
    if (Array.isArray(node.raw)) throw invalid("a list has no holes: use `splice`");
    if (typeof property === "string") node.recorder.delete(node, property);
    return true;
  },
  has(shell, property) {
    const node = nodes.get(shell)!;
    return Reflect.has(content(node), property);
  },
  ownKeys(shell) {
    return Reflect.ownKeys(content(nodes.get(shell)!));
  },
  getOwnPropertyDescriptor(shell, property) {
    const node = nodes.get(shell)!;
    if (!Object.hasOwn(content(node), property)) return undefined;
    if (Array.isArray(node.raw) && property === "length") return { value: (content(node) as unknown[]).length, writable: true, enumerable: false, configurable: false };
    return { value: node.recorder.get(node, keyOf(node, property)!), writable: true, enumerable: true, configurable: true };
  },
  getPrototypeOf(shell) {
    return Object.getPrototypeOf(nodes.get(shell)!.raw);
  },
  defineProperty() {
    throw invalid("properties of a document are assigned");
  },
  setPrototypeOf() {
    throw invalid("a document holds plain data");
  },
};

/** The keys of `O` that hold strings. */
type TextKey<O> = { [K in keyof O]-?: NonNullable<O[K]> extends string ? K : never }[keyof O];

/**
 * Inside `change`: edits a string in place, merging with what others type. `index` and `deleteCount` are UTF-16 units.
 * (Assigning `d.title = "x"` replaces the string as a whole: right for a status, not for typing.)
 */
export function splice(list: string[], at: number, index: number, deleteCount: number, insert?: string): void;
export function splice<O extends object>(target: O, key: TextKey<O>, index: number, deleteCount: number, insert?: string): void;
export function splice(target: object, key: PropertyKey, index: number, deleteCount: number, insert = ""): void {
  const node = draftNode(target);
  node.recorder.spliceText(node, key as Key, index, deleteCount, insert);
}

/** Inside `change`: makes a string equal to `text` by the smallest edit: for `<input>` and `<textarea>`. */
export function updateText(list: string[], at: number, text: string): void;
export function updateText<O extends object>(target: O, key: TextKey<O>, text: string): void;
export function updateText(target: object, key: PropertyKey, text: string): void {
  const node = draftNode(target);
  node.recorder.updateText(node, key as Key, text);
}

function draftNode(target: object): Node {
  const node = nodeOf(target);
  if (node === undefined) throw invalid("strings are edited inside `change`, on its draft");
  return node;
}

