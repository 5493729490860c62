import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";
import { precache } from "./precache.ts";

const relay = process.env.TIDELOG_RELAY_URL ?? "http://127.0.0.1:7654";

export default defineConfig({
  plugins: [react(), precache(fileURLToPath(new URL("public", import.meta.url)))],
  // WASM stays a file of its own whatever its size, so that it compiles while it loads.
  build: { target: "es2022", assetsInlineLimit: 0 },
  worker: { format: "es" },
  // `npm run dev`: the page by Vite, the socket by the relay, one origin for the browser.
  server: { proxy: { "/sync": { target: relay, ws: true, changeOrigin: false } } },
});
