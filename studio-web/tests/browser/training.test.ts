import { appendFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { findBarriers, keepPicture, Pages } from "./page.ts";
import { event, stepEvent } from "./studio.ts";

const pages = new Pages();

describe("training", () => {
  test("a run is shown with all that it tells", async () => {
    const page = await pages.open("#/training?runs=spiky");
    for (const title of [
      "Loss",
      "Bits per byte",
      "Learning rate",
      "Gradient norm",
      "Speed",
      "Use of the machine",
      "Memory",
      "Stages and mixture",
      "What it wrote",
    ]) {
      await page.getByRole("heading", { name: title, exact: true }).waitFor();
    }
    expect(await page.locator(".uplot canvas").count()).toBeGreaterThan(6);
  });

  test("two runs are beside each other, with what is set otherwise", async () => {
    const page = await pages.open("#/training?runs=spiky");
    await page.getByLabel(/example/).check();
    await page.getByRole("heading", { name: "Runs beside each other" }).waitFor();
    await expect.poll(() => page.url()).toContain("runs=spiky%2Cexample");
  });

  test("a run without a score leaves its own column empty", async () => {
    const folder = join(inject("runs"), "a-quiet");
    mkdirSync(folder, { recursive: true });
    const lines = [
      event(0, "start", { num_steps: 5 }),
      ...[1, 2, 3, 4, 5].map((step) => stepEvent(step)),
      event(5, "end", {}),
    ];
    writeFileSync(join(folder, "events.jsonl"), lines.join(""));
    const page = await pages.open("#/training?runs=a-quiet,spiky");
    const row = page.getByRole("row", { name: /^bits a byte, all/ });
    await row.waitFor();
    expect(await row.getByRole("cell").allTextContents()).toEqual(["bits a byte, all", "–", "2.100"]);
    await page.close();
    rmSync(folder, { recursive: true });
  });

  test("samples go by step", async () => {
    const page = await pages.open("#/training?runs=spiky&sample=60");
    await page.getByText("read_50(self):").waitFor();
    await page.locator("pre").first().waitFor();
    await page.getByLabel("Step", { exact: true }).focus();
    await page.keyboard.press("End");
    await page.getByText("read_400(self):").waitFor();
  });

  test("dragging over a chart looks closer, at every step, and the address keeps it", async () => {
    const page = await pages.open("#/training?runs=long");
    await page.getByText(/Each point stands for 50 steps/).waitFor();
    const box = (await page.locator(".uplot .u-over").first().boundingBox())!;
    await page.mouse.move(box.x + 40, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + 46, box.y + 40, { steps: 4 });
    await page.mouse.up();
    await expect.poll(() => page.url()).toContain("zoom=");
    await expect.poll(() => page.getByText(/Each point stands for 50 steps/).count()).toBe(0);
    expect(await page.getByRole("button", { name: "All of it" }).count()).toBeGreaterThan(1);
    await page.keyboard.press("0");
    await expect.poll(() => page.getByRole("button", { name: "All of it" }).count()).toBe(0);
    await page.getByText(/Each point stands for 50 steps/).waitFor();
  });

  test("a run that goes on is followed", async () => {
    const folder = join(inject("runs"), "alive");
    mkdirSync(folder, { recursive: true });
    const log = join(folder, "events.jsonl");
    const now = () => ({ t: Date.now() / 1000 });
    const alive = (step: number) => stepEvent(step, 3, now());
    writeFileSync(log, event(0, "start", { num_steps: 100, ...now() }) + alive(1));
    const page = await pages.open("#/training?runs=alive");
    await page.getByText("step 1 of 100").waitFor();
    for (let step = 2; step <= 30; step++) appendFileSync(log, alive(step));
    appendFileSync(log, event(30, "end", now()));
    await expect
      .poll(() =>
        page
          .locator("dt", { hasText: /^Step$/ })
          .locator("xpath=../dd")
          .textContent(),
      )
      .toContain("30");
    await page.close(); // a page that is open asks for the run again
    rmSync(folder, { recursive: true });
  });

  test("a run that begins later is listed, and one that is resumed is followed again", async () => {
    const page = await pages.open("#/training?runs=none");
    await page.getByText("No run is chosen.").waitFor();
    const folder = join(inject("runs"), "late");
    mkdirSync(folder, { recursive: true });
    const log = join(folder, "events.jsonl");
    const now = () => ({ t: Date.now() / 1000 });
    writeFileSync(
      log,
      event(0, "start", { num_steps: 100, ...now() }) + stepEvent(1, 3, now()) + event(1, "stop", now()),
    );
    await page.getByLabel(/\blate\b/).check();
    const step = page.locator("dt", { hasText: /^Step$/ }).locator("xpath=../dd");
    await expect.poll(() => step.textContent()).toContain("1");
    appendFileSync(log, event(1, "resume", now()) + stepEvent(2, 3, now()));
    await expect.poll(() => step.textContent()).toContain("2");
    await page.close(); // a page that is open asks for the run again
    rmSync(folder, { recursive: true });
  });

  test("an address that was written wrongly breaks nothing", async () => {
    const page = await pages.open("#/training?runs=%25zz,spiky");
    await page.getByRole("heading", { name: "Gradient norm" }).waitFor();
  });

  test("a run that is not there is named", async () => {
    const page = await pages.open("#/training?runs=gone");
    await page.getByRole("alert").getByText("There is no run of the name gone.").waitFor();
    await page.getByText("No run is chosen.").waitFor();
  });

  test("no run chosen says what to do", async () => {
    const page = await pages.open("#/training?runs=none");
    await page.getByText("No run is chosen.").waitFor();
  });

  test.each(["light", "dark"] as const)("nothing bars the way in %s", async (theme) => {
    const page = await pages.open("#/training?runs=example", { theme });
    await page.getByRole("heading", { name: "What it wrote" }).waitFor();
    expect(await findBarriers(page)).toEqual([]);
    await keepPicture(page, `training-${theme}`);
  });
});
