import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestProject } from "vitest/node";

declare module "vitest" {
  export interface ProvidedContext {
    address: string;
    runs: string;
  }
}

/** Where the command is: the environment's, or that of the checkout. */
const TEXTMILL = process.env.TEXTMILL ?? resolve("../.venv/bin/textmill");

/** Start a studio on the bundled example and on runs that are written here, for all tests; stop it at the end. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "textmill-browser-"));
  const runs = join(folder, "runs");
  writeRun(join(runs, "long"), 100_000);
  writeRun(join(runs, "spiky"), 400, { 250: 9 });
  const server = spawn(TEXTMILL, ["studio", "--port", "0", "--no-open", "--runs", runs], {
    cwd: folder,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const said: string[] = [];
  server.stderr.on("data", (text: Buffer) => said.push(text.toString()));
  const address = await new Promise<string>((found, failed) => {
    server.stdout.on("data", (text: Buffer) => {
      const url = text.toString().match(/http:\/\/127\.0\.0\.1:\d+/)?.[0];
      if (url) found(`${url}/`);
    });
    server.on("error", (error) =>
      failed(new Error(`${TEXTMILL} cannot be started (${error.message}): make installs it, or set TEXTMILL`)),
    );
    server.on("exit", (code) => failed(new Error(`textmill studio ended with ${code}: ${said.join("")}`)));
  });
  project.provide("address", address);
  project.provide("runs", runs);
  return async () => {
    const over = new Promise((done) => server.once("exit", done));
    server.kill("SIGTERM");
    await over;
    rmSync(folder, { recursive: true });
  };
}

/** A run as the trainer logs it: a loss that falls, with jumps where `spikes` says so, and samples by step. */
export function writeRun(folder: string, numSteps: number, spikes: Record<number, number> = {}): void {
  mkdirSync(folder, { recursive: true });
  const lines = [
    event(0, "start", { num_steps: numSteps, num_parameters: 263_000, tokens_per_step: 2048, precision: "f32" }),
  ];
  lines.push(
    event(0, "stage", { name: "stable", context: 128, rope_theta: 10_000, mixture: { code: 0.8, prose: 0.2 } }),
  );
  for (let step = 1; step <= numSteps; step++) {
    lines.push(stepEvent(step, spikes[step]));
    if (spikes[step]) lines.push(event(step, "skip", { first: step, last: step, reason: "the loss jumped" }));
    if (step % Math.ceil(numSteps / 8) === 0) {
      lines.push(
        event(step, "eval", {
          bits_per_byte: {
            all: 2 + 2 / Math.sqrt(step),
            code: 1.9 + 2 / Math.sqrt(step),
            prose: 2.4 + 2 / Math.sqrt(step),
          },
        }),
      );
      lines.push(event(step, "sample", { prompt: "def ", text: `read_${step}(self):` }));
    }
  }
  lines.push(event(numSteps, "end", {}));
  writeFileSync(join(folder, "events.jsonl"), lines.join(""));
}

export function stepEvent(
  step: number,
  loss = 3 + 4 / Math.sqrt(step) + 0.1 * Math.sin(12.9898 * step),
  fields: Record<string, unknown> = {},
): string {
  const figures = {
    loss,
    bits_per_byte: loss / 2,
    grad_norm: 0.5 + 0.1 * Math.cos(step),
    lr: 0.01,
    tokens: 2048 * step,
    tokens_per_s: 9000,
    flops_per_s: 1e9,
    mfu: 0.5,
    memory_bytes: 4e8,
    ...fields,
  };
  return event(step, "step", figures);
}

/** A line of the log, spaced as Python's json writes it: readers look for `"kind": "step"` from the end. */
export function event(step: number, kind: string, fields: Record<string, unknown>): string {
  const line = { v: 1, t: 1_790_000_000 + 0.2 * step, step, kind, ...fields };
  return `${JSON.stringify(line, undefined, 1).replace(/\n */g, " ")}\n`;
}
