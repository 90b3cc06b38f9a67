import { describe, expect, test } from "vitest";
import { findBarriers, keepPicture, Pages } from "./page.ts";

const pages = new Pages();

describe("attention", () => {
  test("a prompt goes through the model, and a head is looked at up close", async () => {
    const page = await pages.open("#/attention");
    await page.getByText("Next:").waitFor();
    const grid = page.getByRole("application", { name: /Attention maps/ });
    await grid.focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowRight");
    await page.getByRole("heading", { name: "Layer 1, head 1" }).waitFor();
    await expect.poll(() => page.url()).toContain("layer=1&head=1");
  });

  test("what a query looks at adds up to everything", async () => {
    const page = await pages.open("#/attention?query=2");
    await page.getByText("Next:").waitFor();
    const shares = await page.locator(".told li span.numbers").allInnerTexts();
    const total = shares.reduce((sum, share) => sum + Number.parseFloat(share), 0);
    expect(shares.length).toBe(3);
    expect(Math.abs(total - 100)).toBeLessThan(1);
  });

  test("without a cache, keys are computed again and again", async () => {
    const page = await pages.open("#/attention?step=6");
    await page.getByText("21 keys and values computed").waitFor();
    await page.getByText("6 keys and values computed", { exact: false }).first().waitFor();
  });

  test("an address that names another model shows that one's maps", async () => {
    const page = await pages.open("#/attention");
    const next = page.getByText("Next:").locator("..");
    await next.waitFor();
    const last = await next.textContent();
    const early = await page.getByLabel("Model").locator("option", { hasText: "@ step" }).first().getAttribute("value");
    await page.evaluate((name) => {
      location.hash = `#/attention?model=${encodeURIComponent(name ?? "")}`;
    }, early);
    await expect.poll(() => next.textContent({ timeout: 5000 }).catch(() => last)).not.toBe(last);
  });

  test("an address that names another prompt shows its maps, in a view that is open as in a new one", async () => {
    const address = (text: string) => `#/attention?text=${encodeURIComponent(text)}`;
    const page = await pages.open(address("import os"));
    const asked: unknown[] = [];
    page.on("request", (request) => {
      if (request.url().endsWith("/api/attention")) asked.push((request.postDataJSON() as { text: string }).text);
    });
    await page.getByText("Next:").waitFor();
    await page.evaluate((hash) => {
      location.hash = hash;
    }, address("class Reader:"));
    await expect.poll(() => asked).toEqual(["class Reader:"]);
    await page.getByText("Next:").waitFor();
    await page.goBack();
    await expect.poll(() => asked).toEqual(["class Reader:", "import os"]);
    // What is typed waits until it is run, and a view that comes back computes nothing anew.
    await page.locator("#prompt").fill("import sys");
    await page.locator("#prompt").press("Control+Enter");
    await page.getByText("Next:").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("1");
    await page.getByRole("heading", { level: 1, name: "Tokens" }).waitFor();
    await page.keyboard.press("3");
    await page.getByText("Next:").waitFor();
    expect(asked).toEqual(["class Reader:", "import os", "import sys"]);
  });
});

describe("the cache", () => {
  test("a link leads to the step of what was played, in a view that is open as in a new one", async () => {
    const page = await pages.open(
      "#/attention?part=cache&played=1&cstep=7&prompts=import%20os|import%20os,%20sys&blocks=12",
    );
    await page.getByText(/^7 of \d+$/).waitFor();
    const asked: unknown[] = [];
    page.on("request", (request) => {
      if (request.url().endsWith("/api/engine/play"))
        asked.push((request.postDataJSON() as { prompts: string[] }).prompts);
    });
    await page.evaluate(() => {
      location.hash = "#/attention?part=cache&played=1&cstep=9&prompts=import%20os&blocks=12";
    });
    await expect.poll(() => asked).toEqual([["import os"]]);
    await page.getByText(/^9 of \d+$/).waitFor();
    await page.evaluate(() => {
      location.hash = "#/attention?part=cache";
    });
    await page.getByText("Nothing has been played yet.").waitFor();
  });

  test("prompts are played: blocks are lent, found again, and forgotten", async () => {
    const page = await pages.open("#/attention?part=cache");
    await page.getByRole("button", { name: "Play prompts" }).click();
    await page.getByRole("button", { name: "Stop", exact: true }).waitFor({ state: "detached" });
    const figure = async (name: string) =>
      Number.parseInt((await page.locator("dt", { hasText: name }).locator("xpath=../dd").textContent()) ?? "", 10);
    expect(await figure("Blocks lent")).toBeGreaterThan(5);
    expect(await figure("Prefix hits")).toBeGreaterThan(0);
    expect(await figure("Evicted")).toBeGreaterThan(0);
    await page.getByLabel("Step", { exact: true }).focus();
    await page.keyboard.press("Home");
    await expect.poll(() => page.locator(".block.held").count()).toBe(2); // those of the legend
  });

  test("the same model with other key-value heads has another bill", async () => {
    const page = await pages.open("#/attention?part=cache");
    await page.getByText("multi-query (1)").click();
    await page.getByText("4 query heads read each key-value head").waitFor();
    await expect.poll(() => page.url()).toContain("kv=1");
  });

  test("what the engine does for a chat is seen live", async () => {
    const page = await pages.open("#/attention?part=cache");
    await page.getByRole("button", { name: "Watch live" }).click();
    await page.getByText("Watching.").waitFor();
    await page.keyboard.press("5");
    await page.locator("#message").fill("def main():");
    await page.getByRole("button", { name: "Send" }).click();
    await page.getByText(/^\s*\d+ tokens?[,.]/).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("3");
    await page.getByText("Live: what the engine does.").waitFor();
  });
});

test.each(["light", "dark"] as const)("nothing bars the way in %s", async (theme) => {
  const page = await pages.open("#/attention?layer=1", { theme });
  await page.getByText("Next:").waitFor();
  expect(await findBarriers(page)).toEqual([]);
  await keepPicture(page, `attention-${theme}`);
  await page.keyboard.press("k");
  await page.getByRole("button", { name: "Play prompts" }).click();
  await page.getByRole("button", { name: "Stop", exact: true }).waitFor({ state: "detached" });
  await page.getByLabel("Step", { exact: true }).fill("40");
  expect(await findBarriers(page)).toEqual([]);
  await keepPicture(page, `cache-${theme}`);
});
