import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  root: here("."),
  logLevel: "warn",
  build: { target: "es2022", assetsInlineLimit: 0, outDir: here("../dist/page"), emptyOutDir: true },
  worker: { format: "es" },
});
