import { untrack } from "svelte";
import { isAbort, messageFor } from "../api/client.ts";

/**
 * The newest answer to a question that is asked again and again, as somebody types: one question at a time is under way,
 * and of those that come meanwhile only the last is asked.
 */
export class Answer<T> {
  value = $state.raw<T>();
  error = $state<string>();
  isWaiting = $state(false);
  #next: (() => Promise<T>) | undefined;

  ask(question: () => Promise<T>): void {
    this.#next = question;
    // An effect that asks must not run again because an answer came.
    untrack(() => {
      if (!this.isWaiting) void this.#work();
    });
  }

  async #work(): Promise<void> {
    this.isWaiting = true;
    while (this.#next) {
      const question = this.#next;
      this.#next = undefined;
      try {
        this.value = await question();
        this.error = undefined;
      } catch (error) {
        if (!isAbort(error)) this.error = messageFor(error);
      }
    }
    this.isWaiting = false;
  }
}
