/** What keys do, in the view that is shown: views add theirs while they are shown, and `?` lists them all. */
export interface Key {
  /** As `KeyboardEvent.key` has it. */
  key: string;
  /** How it is shown. */
  label?: string;
  does: string;
  run: () => void;
}

class Keys {
  #groups = $state.raw<{ name: string; keys: Key[] }[]>([]);
  isHelpShown = $state(false);

  get groups(): readonly { name: string; keys: Key[] }[] {
    return this.#groups;
  }

  /** Add keys; what is returned takes them away. */
  add(name: string, keys: Key[]): () => void {
    const group = { name, keys };
    this.#groups = [...this.#groups, group];
    return () => {
      this.#groups = this.#groups.filter((other) => other !== group);
    };
  }

  handle(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    for (const { keys } of this.#groups.toReversed()) {
      const found = keys.find(({ key }) => key === event.key);
      if (!found || (usesArrows(event.target) && event.key.startsWith("Arrow"))) continue;
      event.preventDefault();
      found.run();
      return;
    }
  }
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLTextAreaElement || target.isContentEditable) return true;
  return target instanceof HTMLInputElement && !["range", "checkbox", "radio", "button"].includes(target.type);
}

/** Sliders and lists have a use of their own for arrows. */
function usesArrows(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLSelectElement ||
    (target instanceof HTMLInputElement && ["range", "radio"].includes(target.type)) ||
    (target instanceof HTMLElement && target.getAttribute("role") === "slider")
  );
}

export const keys = new Keys();
