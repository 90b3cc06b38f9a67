import { defineConfig } from "vitest/config";

// The page in Debian's Chromium, before a real studio: one browser and one server, so the files follow one another.
export default defineConfig({
  test: {
    include: ["tests/browser/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    // They end a hang: a page on a busy machine takes seconds for what takes milliseconds.
    testTimeout: 300_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
    globalSetup: "tests/browser/studio.ts",
  },
});
