/** Writing that goes on in a page while a test does something terrible, with the fate of each write kept there. */
import type { Page } from "playwright-core";
import { waitInPage } from "./note.js";

/** What became of the writes so far: tokens, and the ids of those that the relay accepted. */
export interface Fates {
  readonly written: readonly string[];
  /** Token to the id that `accepted` resolved to. */
  readonly accepted: Readonly<Record<string, string>>;
  /** Where each other write stands, as a line. */
  readonly others: readonly string[];
}

/** Begins to write: every few milliseconds a token at the end of the note's text, and the same token as a comment. */
export async function beginWriting(page: Page, note: string, name: string): Promise<void> {
  await page.evaluate(async ({ note, name }) => {
    const { client, Note, Comments } = window.tidelogDemo;
    const [document, comments] = [client.document(Note, `notes/${note}`), client.stream(Comments, `comments/${note}`)];
    await Promise.all([document.ready, comments.ready]);
    document.keepOpen();
    comments.keepOpen();
    const text = document.text(["text"]);
    const mine = { writes: [], times: {}, stop: false } as Window["e2e"];
    window.e2e = mine;
    let count = 0;
    const write = (): void => {
      if (mine.stop) return;
      const token = `<${name}${count}>`;
      count += 1;
      mine.writes.push({ token, write: text.splice([{ index: text.getSnapshot()?.length ?? 0, deleteCount: 0, insert: token }]) });
      const comment = { type: "added", payload: { key: `${name}-${count}`, name, text: token } } as const;
      mine.writes.push({ token: `comment ${token}`, write: comments.append(comment) });
      setTimeout(write, 20);
    };
    write();
  }, { note, name });
}

/** Stops, and tells what became of all writes until now. */
export async function endWriting(page: Page): Promise<Fates> {
  await page.evaluate(() => {
    window.e2e.stop = true;
  });
  return fates(page);
}

export async function fates(page: Page): Promise<Fates> {
  return page.evaluate(() => {
    const accepted: Record<string, string> = {};
    const others: string[] = [];
    for (const { token, write } of window.e2e.writes) {
      const state = write.getSnapshot();
      if (state.stage === "accepted") accepted[token] = state.id;
      else others.push(`${token}: ${JSON.stringify(state)}`);
    }
    return { written: window.e2e.writes.map(({ token }) => token), accepted, others };
  });
}

/** Waits until this many writes of the page were accepted. */
export async function waitForAccepted(page: Page, count: number): Promise<void> {
  await waitInPage(page, (wanted) => window.e2e.writes.filter(({ write }) => write.getSnapshot().stage === "accepted").length >= wanted, count);
}

/** All comments of a note as the relay's log gives them to this device: id and text, in order. */
export async function readComments(page: Page, note: string): Promise<readonly { readonly id: string; readonly text: string }[]> {
  return page.evaluate(async (note) => {
    const { client, Comments } = window.tidelogDemo;
    const comments = client.stream(Comments, `comments/${note}`);
    await comments.caughtUp({ signal: AbortSignal.timeout(30_000) });
    const read: { id: string; text: string }[] = [];
    for await (const { id, payload } of comments.read()) read.push({ id: String(id), text: payload.text });
    return read;
  }, note);
}
