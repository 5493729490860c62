/** The two kinds of values that JavaScript has no type for. In snapshots they are a plain `number` and `string`. */

declare const brand: unique symbol;

/** A number that many can add to at once. In snapshots it is a plain `number`. Same as Automerge's counter. */
export class Counter {
  declare private readonly [brand]: "counter";
  #value: number;
  /** Set on the counters that a draft hands out: records the step. */
  readonly #add: ((by: number) => void) | undefined;

  /** `value`: a safe integer, 0 if left out. The second parameter is the draft's. */
  constructor(value = 0, add?: (by: number) => void) {
    this.#value = value;
    this.#add = add;
  }

  get value(): number {
    return this.#value;
  }

  /** Adds `by` (an integer, 1 if left out). Only inside `change`. */
  increment(by = 1): void {
    if (this.#add === undefined) throw new DocumentError("invalid-value", "a counter is changed inside `change`, after it was assigned");
    this.#add(by);
    this.#value += by;
  }

  /** Subtracts `by` (an integer, 1 if left out). Only inside `change`. */
  decrement(by = 1): void {
    this.increment(-by);
  }

  valueOf(): number {
    return this.#value;
  }

  toJSON(): number {
    return this.#value;
  }
}

/** A string that is never merged character by character (ids, URLs). In snapshots a plain `string`. As in Automerge. */
export class ImmutableString {
  declare private readonly [brand]: "immutable-string";
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  toString(): string {
    return this.#value;
  }

  toJSON(): string {
    return this.#value;
  }
}

/** What goes wrong in a document; the package turns it into its `SyncError` of the same code. */
export type DocumentErrorCode =
  | "invalid-value" // a value or an index that a document cannot hold; nothing was applied
  | "too-large" // over the limits of one change (operations, depth)
  | "history-cut" // that moment is not in this document's history
  | "engine-failed"; // the bytes are no Automerge data, or the module broke

/** An error of the document layer. Its message never holds document content. */
export class DocumentError extends Error {
  override readonly name = "DocumentError";
  readonly code: DocumentErrorCode;

  constructor(code: DocumentErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
