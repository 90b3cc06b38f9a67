import { defineConfig } from "vitest/config";

// The page in Debian's Chromium, before a real studio: one browser and one server, so the files follow one another.
export default defineConfig({
  test: {
    include: ["tests/browser/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    globalSetup: "tests/browser/studio.ts",
  },
});
