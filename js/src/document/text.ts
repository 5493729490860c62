/** Strings of a document, for editors. Each is bound to the text object itself, whatever happens to its place. */
import type { RawPatch } from "./module.js";
import type { Step, TextSplice } from "./types.js";

/** Told after each step. */
export type SpliceListener = (splices: readonly TextSplice[], step: Step<unknown>) => void;

/** One text object, shared by all who opened it. */
export class SharedText {
  readonly #read: () => string | undefined;
  /** Each listener with its owner, who does not hear of its own splices. */
  readonly #listeners = new Map<SpliceListener, object>();
  #value: string | undefined;
  #known = false;

  /** `id` of the object; `read` asks the module for the whole text. */
  constructor(readonly id: string, read: () => string | undefined) {
    this.#read = read;
  }

  get value(): string | undefined {
    if (!this.#known) {
      this.#value = this.#read();
      this.#known = true;
    }
    return this.#value;
  }

  listen(owner: object, listener: SpliceListener): () => void {
    const own: SpliceListener = (splices, step) => listener(splices, step);
    this.#listeners.set(own, owner);
    return () => void this.#listeners.delete(own);
  }

  /** What a step did to this text. Something that may have taken the text out of the document makes it look again. */
  follow(patches: readonly RawPatch[]): readonly TextSplice[] {
    const splices = splicesOf(this.id, patches);
    if (patches.some(([action]) => action === 0 || action === 1 || action === 3) && !patches.every(([, , , object]) => object === this.id)) {
      this.#known = false;
    } else if (this.#value !== undefined) {
      for (const { index, deleteCount, insert } of splices) {
        this.#value = this.#value.slice(0, index) + insert + this.#value.slice(index + deleteCount);
      }
    }
    return splices;
  }

  tell(splices: readonly TextSplice[], step: Step<unknown>, source: object | null): void {
    for (const [listener, owner] of [...this.#listeners]) if (owner !== source) listener(splices, step);
  }
}

/** The splices of one text among patches. A deletion and an insertion at the same place are one. */
function splicesOf(id: string, patches: readonly RawPatch[]): readonly TextSplice[] {
  const splices: TextSplice[] = [];
  for (const [action, path, content, object] of patches) {
    if (object !== id) continue;
    const index = path.at(-1) as number;
    const last = splices.at(-1);
    if (action === 3) splices.push({ index, deleteCount: content as number, insert: "" });
    else if (action === 2 && last?.index === index && last.insert === "") splices[splices.length - 1] = { ...last, insert: content as string };
    else if (action === 2) splices.push({ index, deleteCount: 0, insert: content as string });
  }
  return splices;
}
