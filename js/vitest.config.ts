import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: {
    // The sources name the WebAssembly modules where the build puts them: beside themselves.
    alias: [{ find: /^\.\.\/wasm\//, replacement: fileURLToPath(new URL("wasm/", import.meta.url)) }],
  },
  test: { include: ["test/**/*.test.ts"] },
});
