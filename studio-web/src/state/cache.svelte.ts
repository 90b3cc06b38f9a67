import { isAbort, messageFor, send, withQuery } from "../api/client.ts";
import { readEvents } from "../api/stream.ts";
import type { EngineStep, PlayEnd, Pool } from "../api/types.ts";
import { afterStep, type Cache, openCache } from "../math/blocks.ts";

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
  #control: AbortController | undefined;

  /** A live stream may go on for hours: of its steps the last are kept. */
  static readonly MOST_STEPS = 2000;

  play(model: string, prompts: string[], maxTokens: number, numBlocks: number, atOnce: number): Promise<void> {
    const body = { model, prompts, max_tokens: maxTokens, num_blocks: numBlocks, at_once: atOnce };
    return this.#follow("play", (signal) => send("engine/play", body, signal));
  }

  watch(model: string): Promise<void> {
    return this.#follow("live", async (signal) => {
      const response = await fetch(withQuery(`engine/${encodeURIComponent(model)}`, {}), { signal });
      if (!response.ok) throw new Error(((await response.json()) as { error: { message: string } }).error.message);
      return response;
    });
  }

  stop(): void {
    this.#control?.abort();
    this.isRunning = false;
  }

  async #follow(mode: "play" | "live", open: (signal: AbortSignal) => Promise<Response>): Promise<void> {
    this.stop();
    const control = new AbortController();
    this.#control = control;
    [this.pool, this.steps, this.caches, this.end, this.error, this.mode, this.isRunning] = [
      undefined,
      [],
      [],
      undefined,
      undefined,
      mode,
      true,
    ];
    try {
      for await (const { event, data } of readEvents<unknown>(await open(control.signal))) {
        if (control.signal.aborted) return;
        if (event === "pool") this.#open(data as Pool);
        else if (event === "step") this.#add(data as EngineStep);
        else if (event === "end") this.end = data as PlayEnd;
        else if (event === "error") this.error = (data as { error: { message: string } }).error.message;
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
