/**
 * What pages were told of their writes, written down by the driver before the page goes on: a page's request is
 * answered only when its lines are in the file. No fault touches the ledger.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import type { Line } from "./page/shapes.js";

/** All that is known of one write. Times are the driver's, in ms. */
export interface Fate {
  readonly token: string;
  readonly device: string;
  readonly stream: string;
  readonly refused: boolean;
  readonly begunAt: number;
  savedAt: number | null;
  acceptedAt: number | null;
  /** The refusal's code. */
  rejected: string | null;
  /** Why it could not be saved, as last said. */
  failed: string | null;
  /** All ids that it had. */
  readonly ids: Set<string>;
}

export class Ledger {
  readonly fates = new Map<string, Fate>();
  readonly #file: number;
  readonly #now: () => number;

  constructor(path: string, now: () => number) {
    this.#file = openSync(path, "w");
    this.#now = now;
  }

  /** A page's lines. They are believed when this returns. */
  add(device: string, lines: readonly Line[]): void {
    const at = this.#now();
    writeSync(this.#file, lines.map((line) => `${JSON.stringify({ at, device, ...line })}\n`).join(""));
    for (const line of lines) this.#note(device, line, at);
  }

  close(): void {
    closeSync(this.#file);
  }

  #note(device: string, { token, stage, stream, refused, id, code }: Line, at: number): void {
    if (stage === "begun") {
      if (this.fates.has(token)) throw new Error(`two writes have the token ${token}`);
      this.fates.set(token, {
        token, device, stream: stream ?? "", refused: refused ?? false, begunAt: at, savedAt: null, acceptedAt: null, rejected: null, failed: null, ids: new Set(),
      });
      return;
    }
    const fate = this.fates.get(token);
    if (fate === undefined) throw new Error(`${token} was never begun`);
    if (id !== undefined) fate.ids.add(id);
    if (stage === "saved" || stage === "accepted" || stage === "rejected") fate.savedAt ??= at;
    if (stage === "accepted") fate.acceptedAt ??= at;
    if (stage === "rejected") fate.rejected = code ?? "";
    if (stage === "failed") fate.failed = code ?? "";
  }
}
