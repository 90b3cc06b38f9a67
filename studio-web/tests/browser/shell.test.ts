import { describe, expect, test } from "vitest";
import { findBarriers, keepPicture, Pages } from "./page.ts";

const pages = new Pages();
const VIEWS = ["Tokens", "Positions", "Attention and cache", "Training", "Chat"];

describe("the frame", () => {
  test("numbers go to the views, and back leads back", async () => {
    const page = await pages.open("#/tokens");
    for (const [index, title] of VIEWS.entries()) {
      await page.keyboard.press(String(index + 1));
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
    }
    await page.goBack();
    await page.getByRole("heading", { level: 1, name: "Training" }).waitFor();
  });

  test("a view that is left and comes back is as it was", async () => {
    const page = await pages.open("#/positions?pair=3");
    await page.keyboard.press("1");
    await page.getByRole("heading", { level: 1, name: "Tokens" }).waitFor();
    await page.keyboard.press("2");
    await page.getByText("Pair 3, turned").waitFor();
  });

  test("the question mark shows the keys, of the view too, and leaves no barrier", async () => {
    const page = await pages.open("#/tokens");
    await page.keyboard.press("?");
    await page.getByRole("dialog").getByText("One merge less").waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
  });

  test("the theme is kept", async () => {
    const page = await pages.open("#/tokens");
    await page.keyboard.press("t");
    await page.reload();
    expect(await page.locator("html").getAttribute("data-theme")).toBe("dark");
  });

  test("no key of the page works while a field is typed in", async () => {
    const page = await pages.open("#/tokens");
    await page.locator("#text").fill("");
    await page.locator("#text").pressSequentially("2t?");
    expect(await page.locator("#text").inputValue()).toBe("2t?");
  });

  test("the slash goes to the first field of every view", async () => {
    const page = await pages.open("#/tokens");
    for (const [index, title] of VIEWS.entries()) {
      await page.keyboard.press(String(index + 1));
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
      await page.locator("main section input, main textarea").first().waitFor();
      await page.keyboard.press("/");
      const focused = () => page.evaluate(() => document.activeElement?.closest("main section, main form") !== null);
      await expect.poll(focused).toBe(true);
      await page.keyboard.press("Escape");
    }
  });

  test.each(VIEWS.flatMap((title) => [800, 390].map((width) => [title, width] as const)))(
    "nothing of %s is wider than a window of %i px, and every view is in sight",
    async (title, width) => {
      const page = await pages.open("#/tokens", { width });
      await page.keyboard.press(String(VIEWS.indexOf(title) + 1));
      await page.getByRole("heading", { level: 1, name: title }).waitFor();
      await page.waitForTimeout(500);
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      for (const link of await page.getByRole("navigation").getByRole("link").all()) {
        const box = (await link.boundingBox())!;
        expect(box.x >= 0 && box.x + box.width <= width).toBe(true);
      }
      expect(await findBarriers(page)).toEqual([]);
      if (title === "Tokens" && width === 800) await keepPicture(page, "tokens-narrow");
    },
  );
});
