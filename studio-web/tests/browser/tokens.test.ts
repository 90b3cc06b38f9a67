import { describe, expect, inject, test } from "vitest";
import { findBarriers, keepPicture, Pages } from "./page.ts";

const pages = new Pages();
const TEXT = "naïve tokenizers, 2048!";

async function idsOf(text: string): Promise<number[]> {
  const response = await fetch(`${inject("address")}api/tokens`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ tokenizer: "example", text }),
  });
  return ((await response.json()) as { ids: number[] }).ids;
}

describe("tokens", () => {
  test("what is typed is shown as the ids that the tokenizer gives", async () => {
    const page = await pages.open("#/tokens");
    await page.locator("#text").fill(TEXT);
    const expected = (await idsOf(TEXT)).map(String);
    await expect.poll(() => page.locator(".cell.tokens").allInnerTexts()).toEqual(expected);
    expect(await page.locator(".cell.bytes").count()).toBe(new TextEncoder().encode(TEXT).length);
  });

  test("a hover marks the same part in every level, and a choice selects it in the text", async () => {
    const page = await pages.open(`#/tokens?text=${encodeURIComponent("né né")}`);
    await page.locator(".cell.characters", { hasText: "é" }).first().hover();
    await expect.poll(() => page.locator(".box").count()).toBe(5);
    const character = await page.locator(".cell.characters", { hasText: "é" }).first().boundingBox();
    const bytes = await page.locator(".box").nth(1).boundingBox();
    expect(Math.abs((character?.width ?? 0) - (bytes?.width ?? 99))).toBeLessThan(4);
    await page.locator(".cell.characters", { hasText: "é" }).first().click();
    expect(
      await page.locator("#text").evaluate((area: HTMLTextAreaElement) => [area.selectionStart, area.selectionEnd]),
    ).toEqual([1, 2]);
  });

  test("what is selected in the text is marked in the picture", async () => {
    const page = await pages.open(`#/tokens?text=${encodeURIComponent("one two")}`);
    await page.locator(".cell.tokens").first().waitFor();
    await page.locator("#text").focus();
    await page.locator("#text").evaluate((area: HTMLTextAreaElement) => area.setSelectionRange(4, 7));
    await page.locator(".selected").waitFor();
  });

  test("the scrubber takes merges back, one rank at a time, and the address keeps it", async () => {
    const page = await pages.open(`#/tokens?text=${encodeURIComponent("the reader")}`);
    await page.locator(".cell.tokens").first().waitFor();
    const all = await page.locator(".cell.symbols").count();
    const slider = page.getByLabel("Merges made");
    await slider.focus();
    await page.keyboard.press("Home");
    await expect.poll(() => page.locator(".cell.symbols").count()).toBe("the reader".length);
    await expect.poll(() => page.url()).toContain("rank=");
    await page.reload();
    await expect.poll(() => page.locator(".cell.symbols").count()).toBe("the reader".length);
    await page.getByRole("button", { name: "One merge more" }).click();
    await expect.poll(() => page.locator(".cell.symbols").count()).toBeLessThan("the reader".length);
    await page.getByLabel("Merges made").focus();
    await page.keyboard.press("End");
    await expect.poll(() => page.locator(".cell.symbols").count()).toBe(all);
  });

  test("the arrow keys go from token to token, and why a word is several is told", async () => {
    const page = await pages.open(`#/tokens?text=${encodeURIComponent("Tokenizers")}`);
    const picture = page.getByRole("application");
    await page.locator(".cell.tokens").first().waitFor();
    await picture.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowRight");
    await expect.poll(() => page.url()).toContain("at=tokens");
    await page.getByText(/^Why \d tokens$/).waitFor();
    expect(await page.getByText("is not a token").textContent()).toContain("Tokenizers");
    await page.keyboard.press("ArrowUp");
    await expect.poll(() => page.url()).toContain("at=symbols");
  });

  test("the vocabulary is looked through by text and by script, and the address keeps it", async () => {
    const page = await pages.open("#/tokens");
    await page.getByRole("button", { name: "Look through it" }).click();
    await page.getByText("1,024 tokens of 1,024").waitFor();
    await page.getByRole("button", { name: "Show more" }).click();
    await page.getByText("The first 600, by id.").waitFor();
    await page.getByLabel("Script").selectOption({ label: "parts of characters (128)" });
    await page.getByText("128 tokens of 1,024").waitFor();
    await page.getByLabel("Script").selectOption("Latin");
    await page.getByLabel("Holds").fill("RETURN");
    await page.getByText(/^[23] tokens of 1,024/).waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await expect.poll(() => page.url()).toContain("find=RETURN&script=Latin");
    await page.reload();
    await page.getByText("·return").waitFor();
    await page.getByLabel("Holds").fill("no such token");
    await page.getByText("No token is like this.").waitFor();
    await page.getByRole("button", { name: "Close" }).click();
    expect(await page.getByLabel("Holds").count()).toBe(0);
  });

  test("a text of which no token is typed yet says what to do", async () => {
    const page = await pages.open("#/tokens");
    await page.locator("#text").fill("");
    await page.getByText("There is no text.").waitFor();
  });

  test("a text that is too long is refused with both numbers", async () => {
    const page = await pages.open("#/tokens");
    await page.locator("#text").fill("a".repeat(70_000));
    await page.getByRole("alert").getByText("70,000 bytes").waitFor();
  });

  test.each(["light", "dark"] as const)("nothing bars the way in %s", async (theme) => {
    const page = await pages.open("#/tokens?colour=rank&at=tokens:6", { theme });
    await page.getByText(/^Why \d tokens$/).waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await keepPicture(page, `tokens-${theme}`);
  });
});
