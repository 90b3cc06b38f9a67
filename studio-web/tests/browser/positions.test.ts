import { describe, expect, test } from "vitest";
import { findBarriers, keepPicture, Pages } from "./page.ts";

const pages = new Pages();

describe("positions", () => {
  test("begin with the model's own numbers", async () => {
    const page = await pages.open("#/positions");
    await page.getByText("Pair 4, turned").waitFor();
    expect(await page.locator("output").filter({ hasText: "10k" }).count()).toBe(1);
  });

  test("dragging the arrow moves the position, and the address keeps it", async () => {
    const page = await pages.open("#/positions?q=10&pair=2");
    const dial = page.getByRole("slider", { name: "Position of the query: drag the arrow" });
    const box = (await dial.boundingBox())!;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    await page.mouse.move(x + 80, y);
    await page.mouse.down();
    await page.mouse.move(x + 57, y - 57, { steps: 6 });
    await page.mouse.up();
    await expect.poll(() => page.url()).not.toContain("q=10");
    // An eighth of a turn of pair 2, which takes 63 tokens, is about 8 tokens.
    expect(Number(await dial.getAttribute("aria-valuenow"))).toBeGreaterThan(15);
    expect(Number(await dial.getAttribute("aria-valuenow"))).toBeLessThan(21);
  });

  test("scaling slows the slow pairs, and the model's own numbers come back", async () => {
    const page = await pages.open("#/positions");
    await page.getByText("YaRN", { exact: true }).click();
    await page.getByText("Attention factor").waitFor();
    await expect.poll(() => page.url()).toContain("scaling=yarn");
    await page.getByRole("button", { name: "Model's own" }).click();
    await expect.poll(() => page.getByText("Attention factor").count()).toBe(0);
  });

  test("keys: the query with the arrows, the pair with brackets", async () => {
    const page = await pages.open("#/positions?q=10&pair=2");
    await page.getByText("Pair 2, turned").waitFor();
    await page.keyboard.press("]");
    await page.getByText("Pair 3, turned").waitFor();
    await page.keyboard.press("ArrowRight");
    await page.getByText("Every pair at position 11").waitFor();
  });

  test.each(["light", "dark"] as const)("nothing bars the way in %s", async (theme) => {
    const page = await pages.open("#/positions?scaling=yarn&pair=3", { theme });
    await page.getByText("Attention factor").waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await keepPicture(page, `positions-${theme}`);
  });
});
