import { get, messageFor } from "../api/client.ts";
import type { Session } from "../api/types.ts";
import { address, VIEWS } from "./address.svelte.ts";

/** What there is to look at: tokenizers, models and runs, by the names that the studio knows. */
class Sources {
  session = $state.raw<Session>();
  error = $state<string>();

  async load(): Promise<void> {
    const isFirst = this.session === undefined;
    try {
      this.session = await get<Session>("session");
      this.error = undefined;
    } catch (error) {
      this.error = messageFor(error);
      return;
    }
    const opening = VIEWS.find((view) => view === this.session?.open.view);
    if (isFirst && opening && location.hash.length <= 1) address.go(opening);
  }

  get tokenizers(): { value: string; label: string }[] {
    return this.session?.tokenizers.map(named) ?? [];
  }

  get models(): { value: string; label: string }[] {
    return this.session?.models.map(named) ?? [];
  }

  /** Models, and every checkpoint of a run by its step: `RUN@STEP`. */
  get checkpoints(): { value: string; label: string }[] {
    return (
      this.session?.models.flatMap((model) => [
        named(model),
        ...model.steps.map((step) => ({
          value: `${model.name}@${step}`,
          label: `${model.name} @ step ${step.toLocaleString("en-US")}`,
        })),
      ]) ?? []
    );
  }

  get openTokenizer(): string {
    return this.session?.open.tokenizer ?? this.tokenizers[0]?.value ?? "";
  }

  get openModel(): string {
    return this.session?.open.model ?? this.models[0]?.value ?? "";
  }
}

function named({ name, kind }: { name: string; kind: string }): { value: string; label: string } {
  return { value: name, label: kind === "example" && name === "example" ? `${name} (bundled)` : name };
}

export const sources = new Sources();
