import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { findBarriers, keepPicture, Pages } from "./page.ts";

const pages = new Pages();
/** What stands below an answer that is done. */
const DONE = /^\s*\d+ tokens?[,.]/;
const FIXED = "temperature=0.7&seed=5&max_tokens=32";

/** The button waits until it is known how the model takes a text. */
async function say(page: Page, text: string): Promise<void> {
  await page.locator("#message").fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** A checkpoint of the bundled run's beginning, as an address has it. */
async function earlyCheckpoint(page: Page): Promise<string> {
  const option = page.getByLabel("Beside it").locator("option", { hasText: "@ step" }).first();
  return encodeURIComponent((await option.getAttribute("value")) ?? "");
}

describe("chat", () => {
  test("an answer is streamed, with the probability of each token", async () => {
    const page = await pages.open(`#/chat?${FIXED}`);
    await say(page, "def read(self, path):\n    ");
    await page.getByText(DONE).waitFor();
    expect(await page.locator("[data-token]").count()).toBeGreaterThan(0);
    await page.getByRole("application").focus();
    await page.keyboard.press("ArrowRight");
    await page.getByText("probability").first().waitFor();
  });

  test("two checkpoints answer side by side, and the same seed draws the same again", async () => {
    const page = await pages.open("#/chat");
    await page.goto(`${page.url().split("#")[0]}#/chat?${FIXED}&with=${await earlyCheckpoint(page)}`);
    await say(page, "import os\n");
    await expect.poll(() => page.getByRole("status").filter({ hasText: DONE }).count()).toBe(2);
    const before = await page.locator(".reply .text").allInnerTexts();
    await page.getByRole("button", { name: "Regenerate" }).click();
    await expect.poll(() => page.getByRole("status").filter({ hasText: DONE }).count()).toBe(2);
    expect(await page.locator(".reply .text").allInnerTexts()).toEqual(before);
  });

  test("a long answer can be stopped", async () => {
    const page = await pages.open("#/chat");
    // A model that has learned little does not know how to end.
    await page.goto(
      `${page.url().split("#")[0]}#/chat?max_tokens=230&temperature=1&seed=1&model=${await earlyCheckpoint(page)}`,
    );
    // The answer takes a fraction of a second, so the key is pressed in the page, at its first token.
    await page.evaluate(() => {
      new MutationObserver((_, observer) => {
        if (!document.querySelector("main")?.textContent?.includes("Writing: ")) return;
        observer.disconnect();
        document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "s", bubbles: true }));
      }).observe(document.body, { subtree: true, childList: true, characterData: true });
    });
    await say(page, "a");
    await page.getByText(/^Stopped after /).waitFor();
  });

  test("a message is edited, and everything after it is said anew", async () => {
    const page = await pages.open(`#/chat?${FIXED}`);
    await say(page, "import os");
    await page.getByText(DONE).waitFor();
    await page.getByRole("button", { name: "Edit" }).click();
    await page.locator("#edit").fill("import sys");
    await page.getByRole("button", { name: "Ask again" }).click();
    await page.getByRole("article", { name: "Your message" }).getByText("import sys").waitFor();
    expect(await page.getByRole("article", { name: "Your message" }).count()).toBe(1);
  });

  test("stop strings, penalties and biases are those of the panel, and of the address", async () => {
    const page = await pages.open(`#/chat?${FIXED}&max_tokens=60`);
    const asked: Record<string, unknown>[] = [];
    page.on("request", (request) => {
      if (request.url().endsWith("/api/chat")) asked.push(request.postDataJSON() as Record<string, unknown>);
    });
    await page.getByText("Penalties, ends, biases").click();
    await page.getByLabel("Presence penalty").fill("0.5");
    await page.getByLabel("Frequency penalty").press("ArrowUp");
    await page.getByLabel("Tokens at least").fill("2");
    await page.getByLabel("Stop strings").fill("zzz\n\\n\\n");
    await page.getByLabel("Logit bias").fill("198: -100, 13: 2");
    await page.getByLabel("Go on after the end of the text").check();
    await say(page, "def read(self):\n    ");
    await page.getByText(DONE).waitFor();
    const expected = {
      presence_penalty: 0.5,
      frequency_penalty: 0.1,
      min_tokens: 2,
      stop: ["zzz", "\n\n"],
      logit_bias: { 198: -100, 13: 2 },
      ignore_eos: true,
    };
    expect(asked[0]).toMatchObject(expected);
    expect(await page.locator(".reply .text").textContent()).not.toContain("\n\n");
    await expect.poll(() => page.url()).toContain("ignore_eos=1");
    await page.reload();
    await say(page, "def read(self):\n    ");
    await page.getByText(DONE).waitFor();
    expect(asked[1]).toMatchObject(expected);
  });

  test("what goes wrong is told in a sentence", async () => {
    const page = await pages.open("#/chat");
    const body = 'event: error\ndata: {"error": {"message": "seed is -1, and must be 0 or more"}}\n\n';
    await page.route("**/api/chat", (route) => route.fulfill({ contentType: "text/event-stream", body }));
    await say(page, "def");
    await page.getByRole("alert").getByText("Seed is -1, and must be 0 or more.").waitFor();
  });

  test("a link into an open chat does what it does in a new one: it fills the field", async () => {
    const page = await pages.open("#/chat?text=one&temperature=0.5");
    expect(await page.locator("#message").inputValue()).toBe("one");
    await page.evaluate(() => {
      location.hash = "#/chat?text=two&temperature=0.25";
    });
    await expect.poll(() => page.locator("#message").inputValue()).toBe("two");
    expect(await page.getByLabel("Temperature").inputValue()).toBe("0.25");
    expect(await page.getByRole("article").count()).toBe(0);
  });

  test("a conversation is exported with every token", async () => {
    const page = await pages.open(`#/chat?${FIXED}`);
    await say(page, "import os");
    await page.getByText(DONE).waitFor();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Export JSON" }).click(),
    ]);
    const saved = JSON.parse(readFileSync(await file.path(), "utf8")) as {
      turns: { user: string; replies: { tokens: unknown[] }[] }[];
    };
    expect(saved.turns[0]?.user).toBe("import os");
    expect(saved.turns[0]?.replies[0]?.tokens.length).toBeGreaterThan(0);
  });

  test("what a model or a user writes is never HTML", async () => {
    const page = await pages.open(`#/chat?${FIXED}`);
    await say(page, "<img src=x onerror=alert(1)><b>bold</b>");
    await page.getByRole("article", { name: "Your message" }).getByText("<b>bold</b>").waitFor();
    expect(await page.locator("main img, article b:not(.mono):not(.numbers)").count()).toBe(0);
  });

  test.each(["light", "dark"] as const)("nothing bars the way in %s", async (theme) => {
    const page = await pages.open("#/chat", { theme });
    await page.goto(`${page.url().split("#")[0]}#/chat?${FIXED}&with=${await earlyCheckpoint(page)}`);
    await say(page, "class Reader:\n    def __init__(self, path):\n        ");
    await expect.poll(() => page.getByRole("status").filter({ hasText: DONE }).count()).toBe(2);
    expect(await findBarriers(page)).toEqual([]);
    await keepPicture(page, `chat-${theme}`);
  });
});
