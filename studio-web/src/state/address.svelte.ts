/**
 * What is looked at, in the address after `#`: `#/tokens?text=Hello&rank=100`. A link to it shows the same again.
 *
 * Values change at once; the address follows a moment later, because browsers limit how often it may change.
 */
export const VIEWS = ["tokens", "positions", "attention", "training", "chat"] as const;
export type View = (typeof VIEWS)[number];

/** What is longer stays out of the address, and `isTooLong` says so. */
export const MAX_ADDRESS = 30_000;
const WRITE_AFTER_MS = 250;

export function parseAddress(hash: string): { view: View; values: Record<string, string> } {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const view = VIEWS.find((known) => known === path) ?? "tokens";
  return { view, values: Object.fromEntries(new URLSearchParams(query)) };
}

/** A part of an address as it was meant; one that was written by hand and is no encoding is meant as it stands. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function formatAddress(view: View, values: Record<string, string>): string {
  const query = new URLSearchParams(Object.entries(values)).toString();
  return query ? `#/${view}?${query}` : `#/${view}`;
}

class Address {
  view = $state<View>("tokens");
  isTooLong = $state(false);
  /** How often an address came as a whole: by a link, by going back, from another view. What it names is to be shown. */
  arrivals = $state(0);
  #values = $state<Record<string, string>>({});
  #left: Partial<Record<View, Record<string, string>>> = {};
  #timer: ReturnType<typeof setTimeout> | undefined;

  start(): () => void {
    const read = () => {
      clearTimeout(this.#timer);
      const { view, values } = parseAddress(location.hash);
      this.view = view;
      this.#values = values;
      this.arrivals++;
    };
    read();
    addEventListener("hashchange", read);
    return () => removeEventListener("hashchange", read);
  }

  /** Show another view, with what was set in it when it was left. */
  go(view: View): void {
    if (view === this.view) return;
    this.#left[this.view] = { ...this.#values };
    clearTimeout(this.#timer);
    history.replaceState(null, "", this.#written());
    history.pushState(null, "", formatAddress(view, this.#left[view] ?? {}));
    this.view = view;
    this.#values = this.#left[view] ?? {};
    this.arrivals++;
  }

  text(name: string, otherwise = ""): string {
    return this.#values[name] ?? otherwise;
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined;
  }

  /** A number within bounds: addresses are written by hand, too. */
  number(name: string, otherwise: number, least = -Infinity, most = Infinity): number {
    const written = this.#values[name];
    const value = written === undefined || written === "" ? otherwise : Number(written);
    return Number.isFinite(value) ? Math.min(most, Math.max(least, value)) : otherwise;
  }

  list(name: string): string[] {
    return this.text(name).split(",").filter(Boolean).map(decoded);
  }

  flag(name: string, otherwise = false): boolean {
    const value = this.#values[name];
    return value === undefined ? otherwise : value === "1";
  }

  /** Set values; `undefined` leaves a value out, which then is what it is by default. */
  set(changes: Record<string, string | number | boolean | string[] | undefined>): void {
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) delete this.#values[name];
      else if (typeof value === "boolean") this.#values[name] = value ? "1" : "0";
      else if (Array.isArray(value)) this.#values[name] = value.map(encodeURIComponent).join(",");
      else this.#values[name] = String(value);
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => history.replaceState(null, "", this.#written()), WRITE_AFTER_MS);
  }

  #written(): string {
    const short = formatAddress(this.view, this.#values);
    this.isTooLong = short.length > MAX_ADDRESS;
    if (!this.isTooLong) return short;
    const { text: _text, ...others } = this.#values;
    return formatAddress(this.view, others);
  }
}

export const address = new Address();
