/** A Vite plugin: builds the service worker and tells it which files the demo is made of. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

const WORKER = "service-worker.js";

/** `publicFolder`: files that Vite copies as they are. */
export function precache(publicFolder: string): Plugin {
  return {
    name: "precache",
    apply: "build",
    enforce: "post", // after Vite has made index.html
    buildStart() {
      this.emitFile({ type: "chunk", id: "src/service-worker.ts", fileName: WORKER });
    },
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        const files: [path: string, content: string | Uint8Array][] = Object.values(bundle)
          .filter(({ fileName }) => fileName !== WORKER)
          .map((file) => [file.fileName, file.type === "chunk" ? file.code : file.source]);
        for (const name of readdirSync(publicFolder)) files.push([name, readFileSync(join(publicFolder, name))]);
        files.sort(([a], [b]) => (a < b ? -1 : 1));
        const digest = createHash("sha256");
        for (const [path, content] of files) digest.update(path).update(content);
        const version = digest.digest("hex").slice(0, 16);
        const worker = bundle[WORKER];
        if (worker?.type !== "chunk") throw new Error("the service worker was not built");
        // `/` stands for index.html, which is how browsers ask for it.
        const paths = files.map(([path]) => (path === "index.html" ? "/" : `/${path}`));
        worker.code = worker.code
          .replace("__VERSION__", version)
          .replace(/(["'`])__FILES__\1/, JSON.stringify(JSON.stringify(paths)));
      },
    },
  };
}
