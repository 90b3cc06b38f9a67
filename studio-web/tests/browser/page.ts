import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, inject } from "vitest";

/** Debian's Chromium, with what it would ask its maker for switched off. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** `make screenshots` sets it to the docs' folder. */
const SCREENSHOTS = process.env.SCREENSHOTS;

export interface Opening {
  theme?: "light" | "dark";
  width?: number;
  height?: number;
}

/**
 * Opens pages of the studio, and fails a test whose page asked another host for anything, broke the
 * Content-Security-Policy, or logged an error.
 */
export class Pages {
  #browser: Browser | undefined;
  #contexts: BrowserContext[] = [];
  #faults: string[] = [];

  constructor() {
    beforeAll(async () => {
      this.#browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    });
    afterEach(async () => {
      await Promise.all(this.#contexts.splice(0).map((context) => context.close()));
      expect(this.#faults.splice(0)).toEqual([]);
    });
    afterAll(async () => {
      await this.#browser?.close();
    });
  }

  async open(path: string, { theme = "light", width = 1440, height = 1000 }: Opening = {}): Promise<Page> {
    if (!this.#browser) throw new Error("pages are opened in tests");
    const context = await this.#browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      reducedMotion: "reduce",
      acceptDownloads: true,
    });
    this.#contexts.push(context);
    const own = new URL(inject("address"));
    context.on("request", (request) => {
      const url = new URL(request.url());
      if (url.host !== own.host && url.protocol !== "blob:")
        this.#faults.push(`the page asked ${url.host} for ${url.pathname}`);
    });
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    page.on("pageerror", (error) => this.#faults.push(error.stack ?? error.message));
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") this.#faults.push(message.text());
    });
    await page.goto(`${own.href}${path}`);
    await page.waitForSelector("h1");
    return page;
  }
}

/** What axe-core finds that is serious or critical. */
export async function findBarriers(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async () => {
    const axe = (
      window as unknown as {
        axe: {
          run: () => Promise<{
            violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
          }>;
        };
      }
    ).axe;
    const { violations } = await axe.run();
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} ${failureSummary}`),
      );
  });
}

/** Keep a picture for the docs, when they are made. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), animations: "disabled" });
}
