/**
 * Makes docs/screenshots/*.png of the running demo: `node demo/screenshot.mjs http://127.0.0.1:4080/`.
 * The relay's log should be empty: what is seen is written by two browsers, here and now.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [address] = process.argv.slice(2);
if (address === undefined) throw new Error("usage: node demo/screenshot.mjs ADDRESS");
const folder = fileURLToPath(new URL("../docs/screenshots", import.meta.url));
mkdirSync(folder, { recursive: true });
const profiles = mkdtempSync(join(tmpdir(), "tidelog-screenshots-"));

const LIST = [
  ["Reading list", "Time, clocks and the ordering of events. A history of tide mills."],
  ["Packing for the coast", "Rain jacket\nTide table\nTwo torches and a flask of tea"],
];
const TITLE = "Notes from the night train";
const LINES = [
  "No network since the second tunnel, and everything still opens at once.",
  "",
  "What we write here lies on each device first, in a log of its own. The relay gets it when there is a way to it, and says so only when it is on its disk.",
  "",
  "To do in the morning:",
];
const TASKS = ["– ask for the key to the boathouse", "– bread, figs, something for the gulls"];

const people = await Promise.all([start("ann", {}), start("ben", { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true })]);
try {
  await shoot(...people.map((context) => context.pages()[0]));
} finally {
  await Promise.all(people.map((context) => context.close()));
  rmSync(profiles, { recursive: true, force: true });
}

async function shoot(ann, ben) {
  await Promise.all([ann.goto(address), ben.goto(address)]);
  await ben.getByText("No notes yet.").waitFor();
  await picture(ben, "phone-empty");
  for (const [title, text] of LIST) await write(ann, title, text);
  await write(ann, TITLE, LINES.join("\n"));
  await comment(ann, "Ann", "I have put the tide table into the other note.");
  await ben.getByRole("link", { name: TITLE }).click();
  await ben.getByRole("textbox", { name: "Text", exact: true }).click();
  await ben.keyboard.press("Control+End");
  await ben.keyboard.type(`\n${TASKS.join("\n")}`);
  await comment(ben, "Ben", "Seen, thank you. I am two carriages behind you.");
  await ann.getByText("two carriages").waitFor();
  await ann.evaluate(() => document.activeElement?.blur());
  await saved(ann, "Saved on the relay");
  await picture(ann, "light");
  await ann.emulateMedia({ colorScheme: "dark" });
  await picture(ann, "dark");
  await ann.emulateMedia({ colorScheme: "light" });
  await ben.evaluate(() => document.activeElement?.blur());
  await saved(ben, "Saved on the relay");
  await picture(ben, "phone");
  await ben.getByRole("link", { name: "Notes", exact: true }).click();
  await picture(ben, "phone-list");

  await comment(ann, "Ann", "Is the boathouse page spam, or real?");
  await ann.getByRole("button", { name: "Forget it" }).first().waitFor();
  await ann.getByRole("switch", { name: "Work offline" }).click();
  await write(ann, "Written in the tunnel", "Nobody else can see this yet.");
  await ann.getByRole("link", { name: TITLE }).click();
  await ann.getByRole("button", { name: "Forget it" }).first().scrollIntoViewIfNeeded();
  await saved(ann, "Rest on this device");
  await picture(ann, "refused-offline");
}

async function start(name, options) {
  const context = await chromium.launchPersistentContext(join(profiles, name), {
    executablePath: findChromium(),
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
    viewport: { width: 1240, height: 860 },
    deviceScaleFactor: 2,
    colorScheme: "light",
    ...options,
  });
  context.setDefaultTimeout(20_000);
  return context;
}

async function write(page, title, text) {
  await page.getByRole("button", { name: "New note" }).click();
  await page.getByRole("textbox", { name: "Title", exact: true }).fill(title);
  await page.getByRole("textbox", { name: "Text", exact: true }).fill(text);
}

async function comment(page, name, text) {
  await page.getByLabel("Your name").fill(name);
  await page.getByLabel("Comment", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
}

async function saved(page, text) {
  await page.locator(".saved-text", { hasText: text }).waitFor();
}

async function picture(page, name) {
  await page.screenshot({ path: join(folder, `${name}.png`), animations: "disabled" });
  console.log(`docs/screenshots/${name}.png`);
}

function findChromium() {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = ["chromium", "chromium-browser", "google-chrome"].flatMap((name) => folders.map((path) => join(path, name))).find(existsSync);
  const path = process.env.CHROME_PATH ?? found;
  if (path === undefined) throw new Error("no Chromium was found: install one, or name it in CHROME_PATH");
  return path;
}
