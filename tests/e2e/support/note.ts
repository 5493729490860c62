/** What tests do in the demo and see of it: as a person does where a person could, else through the page's own client. */
import type { Locator, Page } from "playwright-core";
import { expect } from "vitest";
import type { Client, DocumentDefinition, EventRejection, StreamDefinition, WriteHandle } from "tidelog";

type CommentEvent = { readonly type: "added"; readonly payload: { readonly key: string; readonly name: string; readonly text: string } };

declare global {
  interface Window {
    /** What the demo shows to tests, behind `?test`. */
    readonly tidelogDemo: {
      readonly client: Client;
      readonly Index: DocumentDefinition<{ notes: Record<string, { title: string; createdAt: Date }> }>;
      readonly Note: DocumentDefinition<{ text: string }>;
      readonly Comments: StreamDefinition<CommentEvent>;
    };
    /** What a test keeps in a page between two steps. */
    e2e: {
      readonly writes: { readonly token: string; readonly write: WriteHandle }[];
      readonly times: Readonly<Record<string, number[]>>;
      stop: boolean;
    };
  }
}
export type { EventRejection };

/** How long a test waits for what should come within moments. */
export const SOON_MS = 30_000;
/** How long a page may take to say how it is. */
const DESCRIBE_MS = 5_000;

export const titleField = (page: Page): Locator => page.getByRole("textbox", { name: "Title", exact: true });
export const textField = (page: Page): Locator => page.getByRole("textbox", { name: "Text", exact: true });
export const savedBadge = (page: Page): Locator => page.locator(".saved-text");

/** Writes a new note by hand and gives its id. */
export async function createNote(page: Page, title: string): Promise<string> {
  await page.getByRole("button", { name: "New note" }).click();
  await titleField(page).waitFor();
  await titleField(page).click();
  await page.keyboard.type(title);
  await textField(page).waitFor();
  return noteIn(page);
}

/** The id of the note that is shown. */
export function noteIn(page: Page): string {
  const id = /#\/notes\/(.+)$/.exec(page.url())?.[1];
  if (id === undefined) throw new Error(`no note is open at ${page.url()}`);
  return id;
}

/** Opens a note from the list, as soon as it is there. */
export async function openNote(page: Page, title: string): Promise<void> {
  await page.getByRole("link", { name: title }).click({ timeout: SOON_MS });
  await textField(page).waitFor();
}

/** Puts the caret at the end of the text. */
export async function goToEnd(page: Page): Promise<void> {
  await textField(page).click();
  await page.keyboard.press("Control+End");
}

/** Waits until the page shows exactly this text. */
export async function waitForText(page: Page, text: string): Promise<void> {
  await waitInPage(page, (wanted) => document.querySelector<HTMLTextAreaElement>("textarea.text")?.value === wanted, text);
}

/** Waits until the page has noted this many times of something. */
export async function waitForTimes(page: Page, what: string, count: number): Promise<void> {
  await waitInPage(page, ([what, wanted]) => window.e2e.times[what]!.length >= wanted, [what, count] as const);
}

/** Waits until the page shows a text of this length. */
export async function waitForLength(page: Page, length: number): Promise<void> {
  await waitInPage(page, (wanted) => document.querySelector<HTMLTextAreaElement>("textarea.text")?.value.length === wanted, length);
}

/** Waits until the page shows a text that holds this. */
export async function waitForPart(page: Page, part: string): Promise<void> {
  await waitInPage(page, (wanted) => document.querySelector<HTMLTextAreaElement>("textarea.text")?.value.includes(wanted) === true, part);
}

export async function shownText(page: Page): Promise<string> {
  return textField(page).inputValue();
}

/** Waits until everything that this device wrote is on the relay, and everything the relay has is on this device. */
export async function waitForRelay(page: Page): Promise<void> {
  await waitInPage(page, () => {
    const { savedOn, connection, behind, pending } = window.tidelogDemo.client.status.getSnapshot();
    return savedOn === "relay" && pending === 0 && behind === 0 && connection.state === "connected";
  }, undefined);
}

/** Expects of something that is shown, or counted, moments later than what was waited for. */
export function soon<T>(look: () => T | Promise<T>): ReturnType<typeof expect.poll<T>> {
  return expect.poll(look, { timeout: SOON_MS });
}

/** Waits until everything is on this device's disk. */
export async function waitForDevice(page: Page): Promise<void> {
  await waitInPage(page, () => window.tidelogDemo.client.status.getSnapshot().savedOn !== "none", undefined);
}

/** Waits until all pages show the same text and it is complete, and gives it. `meanwhile` runs before each look but the first. */
export async function waitForEqualTexts(
  pages: readonly Page[],
  isComplete: (text: string) => boolean = () => true,
  meanwhile: () => Promise<void> = async () => undefined,
): Promise<string> {
  const deadline = Date.now() + 2 * SOON_MS;
  for (;;) {
    const texts = await Promise.all(pages.map(shownText));
    if (texts.every((text) => text === texts[0]) && isComplete(texts[0]!)) return texts[0]!;
    if (Date.now() > deadline) throw new Error(`the texts do not become equal and complete: ${JSON.stringify(await Promise.all(pages.map(describe)))}`);
    await pages[0]!.waitForTimeout(100);
    await meanwhile();
  }
}

/** What a page shows and says of itself, for the message of a test that fails; also of a page that does not answer. */
export async function describe(page: Page): Promise<unknown> {
  const seen = page.evaluate(() => {
    const { client, Index, Note } = window.tidelogDemo;
    const note = /#\/notes\/(.+)$/.exec(location.hash)?.[1];
    return {
      at: location.href,
      text: document.querySelector<HTMLTextAreaElement>("textarea.text")?.value.slice(0, 2000) ?? null,
      status: client.status.getSnapshot(),
      index: client.document(Index, "notes/index").status.getSnapshot(),
      note: note === undefined ? null : client.document(Note, `notes/${note}`).status.getSnapshot(),
      rejections: client.rejections.getSnapshot().map(({ stream, id, code }) => `${stream} ${id} ${code}`),
    };
  });
  const silence = new Promise((resolve) => setTimeout(resolve, DESCRIBE_MS, `does not answer at ${page.url()}`));
  return Promise.race([seen.catch(String), silence]);
}

/** Waits until this is true in the page; else says what the page shows. */
export async function waitInPage<T>(page: Page, test: (argument: T) => boolean, argument: T): Promise<void> {
  try {
    await page.waitForFunction(test as (argument: unknown) => boolean, argument, { timeout: SOON_MS, polling: 20 });
  } catch (cause) {
    throw new Error(`waited in vain for ${test} with ${JSON.stringify(argument)}: the page shows ${JSON.stringify(await describe(page))}`, { cause });
  }
}

/** How often each of these stands in the text. */
export function countEach(text: string, tokens: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const token of tokens) counts[token] = text.split(token).length - 1;
  return counts;
}
