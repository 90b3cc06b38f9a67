import { isAbort, messageFor, send } from "../api/client.ts";
import { readEvents } from "../api/stream.ts";
import type { AttentionEnd, AttentionLayer, AttentionStart } from "../api/types.ts";
import { unpack } from "../math/packed.ts";

export interface Layer {
  /** [head, query, key]. */
  maps: Float32Array;
  entropyBits: number[];
  firstTokenShare: number[];
}

/** A prompt through the model, its layers as they come. */
class AttentionRun {
  start = $state.raw<AttentionStart>();
  layers = $state.raw<readonly Layer[]>([]);
  end = $state.raw<AttentionEnd>();
  error = $state<string>();
  isRunning = $state(false);
  #asked = "";
  #control: AbortController | undefined;

  /** Whether this was asked last, and did not fail: a view that comes back then computes nothing. */
  isOf(model: string, text: string): boolean {
    return this.#asked === JSON.stringify([model, text]) && this.error === undefined;
  }

  async run(model: string, text: string, maxTokens: number): Promise<void> {
    this.stop();
    const control = new AbortController();
    this.#control = control;
    this.#asked = JSON.stringify([model, text]);
    [this.start, this.layers, this.end, this.error, this.isRunning] = [undefined, [], undefined, undefined, true];
    try {
      const response = await send("attention", { model, text, max_tokens: maxTokens }, control.signal);
      for await (const { event, data } of readEvents<unknown>(response)) {
        if (control.signal.aborted) return;
        if (event === "start") this.start = data as AttentionStart;
        else if (event === "layer") this.#add(data as AttentionLayer);
        else if (event === "end") this.end = data as AttentionEnd;
      }
    } catch (error) {
      if (!isAbort(error)) this.error = messageFor(error);
    } finally {
      if (this.#control === control) this.isRunning = false;
    }
  }

  stop(): void {
    this.#control?.abort();
    this.isRunning = false;
  }

  #add(layer: AttentionLayer): void {
    this.layers = [
      ...this.layers,
      { maps: unpack(layer.maps), entropyBits: layer.entropy_bits, firstTokenShare: layer.first_token_share },
    ];
  }
}

export const attention = new AttentionRun();
