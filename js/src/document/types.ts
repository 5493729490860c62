/** The types of documents: what they hold, what reading them gives, and how changes of them are told. */

import type { Counter, ImmutableString } from "./values.js";

declare const headsBrand: unique symbol;

/** One moment of a document's history (Automerge heads), in a form that can be stored or put in a link. */
export type Heads = readonly string[] & { readonly [headsBrand]: "heads" };

/** A place in a document: keys of maps, indexes of lists. */
export type Path = readonly (string | number)[];

type Atom = string | number | boolean | null | undefined | Date | Uint8Array | Counter | ImmutableString;
type Storable<V> = V extends Atom
  ? V
  : V extends ((...args: never[]) => unknown) | ReadonlyMap<unknown, unknown> | ReadonlySet<unknown> | bigint | symbol
    ? never
    : V extends object
      ? { [K in keyof V]: Storable<V[K]> }
      : never;

/** Constraint: only what a document can hold. `undefined` means an absent key; assigning it throws `invalid-value`. */
export type DocumentShape<T> = { [K in keyof T]: Storable<T[K]> };

/** What reading a document of type `T` gives: deeply readonly; counters are numbers, immutable strings are strings. */
export type Snapshot<T> = T extends Counter
  ? number
  : T extends ImmutableString
    ? string
    : T extends Atom
      ? T
      : T extends object
        ? { readonly [K in keyof T]: Snapshot<T[K]> }
        : T;

type Depth = [never, 0, 1, 2, 3, 4, 5];
type PathToText<T, D extends number> = D extends 0
  ? never
  : T extends string
    ? readonly []
    : T extends Exclude<Atom, string>
      ? never
      : T extends readonly (infer U)[]
        ? readonly [number, ...PathToText<U, Depth[D]>]
        : T extends object
          ? { [K in keyof T & string]: readonly [K, ...PathToText<NonNullable<T[K]>, Depth[D]>] }[keyof T & string]
          : never;

/** Paths to strings of a document, at most five deep. */
export type TextPath<T> = PathToText<T, 6>;

/** One difference between two states of a document; the shapes are those of Automerge's patches. */
export type Patch =
  | { readonly action: "put"; readonly path: Path; readonly value: unknown }
  | { readonly action: "insert"; readonly path: Path; readonly values: readonly unknown[] }
  | { readonly action: "splice"; readonly path: Path; readonly value: string }
  | { readonly action: "del"; readonly path: Path; readonly length?: number }
  | { readonly action: "inc"; readonly path: Path; readonly value: number }
  | { readonly action: "conflict"; readonly path: Path };

/** `deleteCount` UTF-16 units at `index` give way to `insert`. In a list, each counts on the text the one before left. */
export interface TextSplice {
  readonly index: number;
  readonly deleteCount: number;
  readonly insert: string;
}

/** One of several values at one place. `actor` is the Automerge actor (hex) of the change that wrote it. */
export interface ConflictingValue {
  readonly value: unknown;
  readonly actor: string;
  /** The one that snapshots show; the same on every device. */
  readonly winner: boolean;
}

/** One change of the history. `heads` is the document as of it and all that it depended on. */
export interface HistoryEntry {
  readonly heads: Heads;
  /** The Automerge actor, in hex. */
  readonly actor: string;
  /** Milliseconds since 1970 by the author's clock, in whole seconds (Automerge keeps seconds). */
  readonly time: number;
  readonly message: string | null;
}

/** What one step did to a document. */
export interface Step<T> {
  readonly before: Snapshot<T>;
  readonly after: Snapshot<T>;
  /** In order. Applied to `before` they give `after`. Built only when read. */
  readonly patches: readonly Patch[];
}

/** One Automerge change as the payload of an event. */
export interface Committed {
  /** Hex. */
  readonly hash: string;
  /** An uncompressed chunk: the payload of an event of kind 2. */
  readonly bytes: Uint8Array;
}

/** One Automerge change, not applied. */
export interface Inspected {
  /** Hex. */
  readonly hash: string;
  /** Hex. */
  readonly actor: string;
  /** Whether it is one of the deterministic first changes, which every device makes. */
  readonly isFirst: boolean;
}

/** What `commit` closed. */
export interface Commit extends Committed {
  /**
   * To be written before this change, in this order: deterministic first changes that the log has not shown yet, then the
   * earlier parts of a change that was too large for one event.
   */
  readonly first: readonly Committed[];
}

/** Why a payload was not applied. */
export type SkipReason =
  | "malformed" // no Automerge change, or one that breaks its own rules or our limits
  | "sequence-taken" // its (actor, sequence) belongs to another change that this document holds
  | "needs-left-out" // it depends on one of these
  | "too-many-wait"; // more wait for others than there is room for; opened again from the log, the document may hold it

/** A payload that was not applied. */
export interface Skipped {
  /** Its index among the payloads; -1 for one that waited since an earlier call. */
  readonly index: number;
  readonly reason: SkipReason;
  /** Hex; null when it could not be read. */
  readonly hash: string | null;
}

/** A change that was taken out of the document, and the edits it held, to show them or to make them again. */
export interface Dropped {
  readonly hash: string;
  readonly patches: readonly Patch[];
}

/** What `applyRemote` did. */
export interface RemoteStep<T> extends Step<T> {
  readonly skipped: readonly Skipped[];
  /** Own changes, not yet in the log, that had to give way to a change of the log with the same (actor, sequence). */
  readonly displaced: readonly Dropped[];
  /** Changes made again as local transactions; the others went through a batch. */
  readonly replayed: number;
  /** Changes that wait for others they depend on. */
  readonly waiting: number;
  /** How often the document was rebuilt because a replayed change got another hash (0 or 1). */
  readonly rebuilt: number;
}

/** What `without` did. `dropped` has the named changes and all that depended on them, oldest first. */
export interface WithoutStep<T> extends Step<T> {
  readonly dropped: readonly Dropped[];
}

/** How a document is opened. */
export interface OpenOptions {
  /** 16 random bytes: the Automerge actor of this page's changes, never used by anyone else. See `takeActor`. */
  readonly actor: Uint8Array;
  /** The definition's defaults, or nothing. */
  readonly defaults?: object;
  /** Payloads of the log, in its order, then those of own events that the log has not shown: changes and whole documents. */
  readonly payloads?: readonly Uint8Array[];
  /** How many payloads at the end are own ones that the log has not shown. */
  readonly pending?: number;
}

/** Options of one edit. Time and message are as for its `commit`: an edit that is too large for one change is committed in parts. */
export interface EditOptions extends Partial<CommitOptions> {
  /** Looks at the document as it would be; what it throws goes to the caller and nothing is applied. */
  readonly validate?: (next: unknown) => void;
}

/** Options of `commit`. */
export interface CommitOptions {
  /** Milliseconds since 1970 by this device's clock. */
  readonly time: number;
  /** At most 1 KB in UTF-8. */
  readonly message?: string;
}

/** One string of a document, for an editor: bound to the string, not to its place. */
export interface TextState {
  /** Undefined while the string is not in the document. */
  readonly value: string | undefined;
  /** Applies what the user typed. These splices are not told to this text's own listeners. */
  splice(splices: readonly TextSplice[], options?: Partial<CommitOptions>): Step<unknown>;
  /** What anything but this object's `splice` did. `step` is the step it was part of. */
  onSplice(listener: (splices: readonly TextSplice[], step: Step<unknown>) => void): () => void;
  /** A place that stays between its characters while the text changes. Storable, sendable. */
  cursorAt(index: number): string;
  /** Where it is now; null if its surroundings are unknown here. */
  indexOf(cursor: string): number | null;
}
