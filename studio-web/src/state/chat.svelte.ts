import { isAbort, messageFor, send } from "../api/client.ts";
import { readEvents } from "../api/stream.ts";
import type { ChatEnd, ChatToken } from "../api/types.ts";
import type { Sampling } from "../math/sampling.ts";

/** One model's answer to a message. */
export class Reply {
  tokens = $state.raw<readonly ChatToken[]>([]);
  /** What came after the last token: the rest of a character, or of what might have been a stop string. */
  rest = $state("");
  end = $state.raw<ChatEnd>();
  seed = $state<number>();
  error = $state<string>();
  state = $state<"waiting" | "loading" | "writing" | "done" | "stopped">("waiting");
  #control = new AbortController();

  constructor(readonly model: string) {}

  get text(): string {
    return this.tokens.map(({ text }) => text).join("") + this.rest;
  }

  get isRunning(): boolean {
    return this.state === "waiting" || this.state === "loading" || this.state === "writing";
  }

  async ask(body: Record<string, unknown>): Promise<void> {
    try {
      const response = await send("chat", { model: this.model, alternatives: 5, ...body }, this.#control.signal);
      for await (const { event, data } of readEvents<unknown>(response)) {
        if (this.#control.signal.aborted) return;
        if (event === "loading") this.state = "loading";
        else if (event === "start") [this.state, this.seed] = ["writing", (data as { seed: number }).seed];
        else if (event === "tokens") this.tokens = [...this.tokens, ...(data as { tokens: ChatToken[] }).tokens];
        else if (event === "end") [this.end, this.rest] = [data as ChatEnd, (data as ChatEnd).text ?? ""];
      }
    } catch (error) {
      if (!isAbort(error)) this.error = messageFor(error);
    } finally {
      if (this.isRunning) this.state = this.#control.signal.aborted ? "stopped" : "done";
    }
  }

  /** The studio stops the work when the stream is closed. */
  stop(): void {
    this.#control.abort();
    if (this.isRunning) this.state = "stopped";
  }
}

/** What was said, and what each model that was asked answered. */
export interface Turn {
  said: string;
  replies: (Reply | undefined)[];
}

class Chat {
  turns = $state.raw<readonly Turn[]>([]);

  get isRunning(): boolean {
    return this.turns.some(({ replies }) => replies.some((reply) => reply?.isRunning));
  }

  say(text: string, models: readonly string[], hasTemplate: readonly boolean[], sampling: Sampling): void {
    this.turns = [...this.turns, { said: text, replies: [] }];
    models.forEach((model, side) => {
      this.#answer(this.turns.length - 1, side, model, hasTemplate[side] ?? false, sampling);
    });
  }

  /** Answer a turn anew; what was said after it is forgotten. */
  again(turn: number, side: number, model: string, hasTemplate: boolean, sampling: Sampling): void {
    for (const { replies } of this.turns.slice(turn + 1)) for (const reply of replies) reply?.stop();
    this.turns[turn]?.replies[side]?.stop();
    this.turns = this.turns.slice(0, turn + 1);
    this.#answer(turn, side, model, hasTemplate, sampling);
  }

  edit(
    turn: number,
    text: string,
    models: readonly string[],
    hasTemplate: readonly boolean[],
    sampling: Sampling,
  ): void {
    this.stop();
    this.turns = this.turns.slice(0, turn);
    this.say(text, models, hasTemplate, sampling);
  }

  stop(): void {
    for (const { replies } of this.turns) for (const reply of replies) reply?.stop();
  }

  clear(): void {
    this.stop();
    this.turns = [];
  }

  #answer(turn: number, side: number, model: string, hasTemplate: boolean, sampling: Sampling): void {
    const reply = new Reply(model);
    const body = hasTemplate ? { messages: this.#messages(turn, side) } : { prompt: this.turns[turn]?.said ?? "" };
    this.turns = this.turns.map((one, at) =>
      at === turn ? { ...one, replies: Object.assign([...one.replies], { [side]: reply }) } : one,
    );
    void reply.ask({ ...body, ...sampling });
  }

  #messages(turn: number, side: number): { role: string; content: string }[] {
    return this.turns.slice(0, turn + 1).flatMap(({ said, replies }, at) => {
      const answered = at < turn ? replies[side]?.text : undefined;
      return [{ role: "user", content: said }, ...(answered ? [{ role: "assistant", content: answered }] : [])];
    });
  }
}

export const chat = new Chat();
