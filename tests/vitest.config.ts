import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["golden/**/*.test.ts", "chaos/**/*.test.ts", "conformance/**/*.test.ts", "e2e/**/*.test.ts"],
    // Browsers and a relay on a small machine: one test at a time, or latencies mean nothing.
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    reporters: ["verbose"],
  },
});
