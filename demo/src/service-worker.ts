/**
 * Keeps the demo's own files, so that it opens with no network. What is written in notes is none of its business: that
 * lies in the device's log, and the way to the relay (`/sync`) never passes here.
 *
 * All files of one build are kept together under the build's digest, so that a page never mixes two builds. A new build
 * waits until no page uses the old one, or until a page says `"take-over"`.
 */
declare const self: ServiceWorkerGlobalScope;

const PREFIX = "tidelog-demo-";
const CACHE = `${PREFIX}__VERSION__`;
const FILES: readonly string[] = JSON.parse("__FILES__");

self.addEventListener("install", (event) => event.waitUntil(keepFiles()));
self.addEventListener("activate", (event) => event.waitUntil(forgetOldFiles()));
self.addEventListener("message", ({ data }) => {
  if (data === "take-over") void self.skipWaiting();
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  // Every address of the demo is the same page; which note it shows is in the part that no server sees.
  const path = request.mode === "navigate" && !pathname.includes(".") && pathname !== "/healthz" ? "/" : pathname;
  if (FILES.includes(path)) event.respondWith(answer(path, request));
});

async function answer(path: string, request: Request): Promise<Response> {
  const kept = await caches.open(CACHE).then((cache) => cache.match(path));
  return kept ?? fetch(request);
}

async function keepFiles(): Promise<void> {
  const cache = await caches.open(CACHE);
  // `reload`: past the browser's HTTP cache, which may still hold files of the old build.
  await cache.addAll(FILES.map((path) => new Request(path, { cache: "reload" })));
}

async function forgetOldFiles(): Promise<void> {
  const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim(); // the first visit is ready for the train, too
}

export {}; // a file of its own, not part of the page's global scope
