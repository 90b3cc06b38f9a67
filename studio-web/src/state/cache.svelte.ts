import { isAbort, messageFor, open, send } from "../api/client.ts";
import { readEvents } from "../api/stream.ts";
import type { EngineStep, PlayEnd, Pool } from "../api/types.ts";
import { afterStep, type Cache, openCache } from "../math/blocks.ts";

/** Prompts that are answered with a cache of a few blocks, as the API takes them. */
export interface Game {
  model: string;
  prompts: string[];
  max_tokens: number;
  num_blocks: number;
  at_once: number;
}

/** The blocks of a KV cache, step by step: of prompts that are played, or live, of what the engine does. */
class CacheRun {
  pool = $state.raw<Pool>();
  steps = $state.raw<readonly EngineStep[]>([]);
  /** `caches[i]` is what stands after `i` steps. */
  caches = $state.raw<readonly Cache[]>([]);
  end = $state.raw<PlayEnd>();
  error = $state<string>();
  mode = $state<"none" | "play" | "live">("none");
  isRunning = $state(false);
  #played = "";
  #control: AbortController | undefined;

  /** A live stream may go on for hours: of its steps the last are kept. */
  static readonly MOST_STEPS = 2000;

  /** Whether this game was played last, and did not fail. */
  isOf(game: Game): boolean {
    return this.mode === "play" && this.#played === JSON.stringify(game) && this.error === undefined;
  }

  play(game: Game): Promise<void> {
    this.#played = JSON.stringify(game);
    return this.#follow("play", (signal) => send("engine/play", game, signal));
  }

  watch(model: string): Promise<void> {
    return this.#follow("live", (signal) => open(`engine/${encodeURIComponent(model)}`, {}, signal));
  }

  stop(): void {
    this.#control?.abort();
    this.isRunning = false;
  }

  /** Show nothing. */
  clear(): void {
    this.stop();
    [this.pool, this.steps, this.caches, this.end, this.error, this.mode] = [
      undefined,
      [],
      [],
      undefined,
      undefined,
      "none",
    ];
  }

  async #follow(mode: "play" | "live", open: (signal: AbortSignal) => Promise<Response>): Promise<void> {
    this.clear();
    const control = new AbortController();
    this.#control = control;
    [this.mode, this.isRunning] = [mode, true];
    try {
      for await (const { event, data } of readEvents<unknown>(await open(control.signal))) {
        if (control.signal.aborted) return;
        if (event === "pool") this.#open(data as Pool);
        else if (event === "step") this.#add(data as EngineStep);
        else if (event === "end") this.end = data as PlayEnd;
      }
    } catch (error) {
      if (!isAbort(error)) this.error = messageFor(error);
    } finally {
      if (this.#control === control) this.isRunning = false;
    }
  }

  #open(pool: Pool): void {
    this.pool = pool;
    this.steps = [];
    this.caches = [openCache(pool)];
  }

  #add(step: EngineStep): void {
    const last = this.caches.at(-1);
    if (!last) return;
    const from = this.steps.length >= CacheRun.MOST_STEPS ? 1 : 0;
    this.steps = [...this.steps.slice(from), step];
    this.caches = [...this.caches.slice(from), afterStep(last, step)];
  }
}

export const cache = new CacheRun();
