import { get, isAbort, messageFor, open } from "../api/client.ts";
import { readEvents } from "../api/stream.ts";
import type { Axis, RunAnswer, RunLine, RunsComparison, SeriesAnswer, TailAnswer } from "../api/types.ts";

/** How a run is looked at. */
export interface Look {
  axis: Axis;
  points: number;
  range: [number, number] | undefined;
}

/** A run that is shown: what there is to say of it, and its figures. */
export interface ShownRun {
  facts: RunAnswer;
  series: SeriesAnswer;
}

/** While a run goes on, its figures are asked for again at most this often. */
const REFRESH_MS = 1500;
const ENDED = ["stopped", "finished", "failed"];
const GOING = ["running", "preparing"];

class Runs {
  list = $state.raw<readonly RunLine[]>();
  shown = $state.raw<ReadonlyMap<string, ShownRun>>(new Map());
  comparison = $state.raw<RunsComparison>();
  error = $state<string>();
  #names: readonly string[] = [];
  #look: Look = { axis: "step", points: 2000, range: undefined };
  #watched = new Map<string, AbortController>();
  #asked = 0;

  async loadList(): Promise<void> {
    try {
      this.list = (await get<{ runs: RunLine[] }>("runs")).runs;
      // A run was resumed, or fell silent, or its stream broke off.
      const isOld = ({ name, state }: RunLine) => {
        const shown = this.shown.get(name)?.facts.state;
        return shown && (shown !== state || (GOING.includes(state) && !this.#watched.has(name)));
      };
      if (this.list.some(isOld)) await this.show(this.#names, this.#look);
    } catch (error) {
      this.error = messageFor(error);
    }
  }

  async show(names: readonly string[], look: Look): Promise<void> {
    this.#names = names;
    this.#look = look;
    const asked = ++this.#asked;
    try {
      const answers = await Promise.all(names.map(async (name) => [name, await this.#read(name)] as const));
      // Somebody chose other runs meanwhile: what comes for them counts.
      if (asked !== this.#asked) return;
      this.shown = new Map(answers);
      this.error = undefined;
    } catch (error) {
      if (asked === this.#asked) this.error = messageFor(error);
    }
    this.#watch();
  }

  async compare(names: readonly string[]): Promise<void> {
    if (names.length < 2) {
      this.comparison = undefined;
      return;
    }
    const query = new URLSearchParams(names.map((name) => ["run", name]));
    try {
      this.comparison = await get<RunsComparison>(`runs-compare?${query}`);
    } catch (error) {
      this.error = messageFor(error);
    }
  }

  stop(): void {
    for (const control of this.#watched.values()) control.abort();
    this.#watched.clear();
  }

  async #read(name: string): Promise<ShownRun> {
    const path = `runs/${encodeURIComponent(name)}`;
    const facts = await get<RunAnswer>(path);
    const { axis, points, range } = this.#look;
    const query = new URLSearchParams([
      ...facts.figures.map((figure) => ["figure", figure]),
      ["x", axis],
      ["points", String(points)],
    ]);
    if (range) {
      query.set("from", String(range[0]));
      query.set("to", String(range[1]));
    }
    return { facts, series: await get<SeriesAnswer>(`${path}/series?${query}`) };
  }

  /** Follow those of the shown runs that still go on. */
  #watch(): void {
    for (const [name, control] of this.#watched) {
      if (this.#names.includes(name)) continue;
      control.abort();
      this.#watched.delete(name);
    }
    for (const [name, { facts }] of this.shown) {
      if (this.#watched.has(name) || !GOING.includes(facts.state)) continue;
      const control = new AbortController();
      this.#watched.set(name, control);
      void this.#follow(name, facts, control.signal).finally(() => this.#watched.delete(name));
    }
  }

  async #follow(name: string, facts: RunAnswer, signal: AbortSignal): Promise<void> {
    const { offset, step } = facts;
    try {
      const response = await open(`runs/${encodeURIComponent(name)}/live`, { offset, step }, signal);
      let refreshed = 0;
      for await (const { data } of readEvents<TailAnswer>(response)) {
        // Before anything new comes, the state is not known yet.
        const isOver = ENDED.includes(data.state);
        if (!isOver && performance.now() - refreshed < REFRESH_MS) continue;
        refreshed = performance.now();
        const read = await this.#read(name);
        if (signal.aborted || !this.#names.includes(name)) return;
        this.shown = new Map([...this.shown].map(([key, value]) => [key, key === name ? read : value]));
        await this.loadList();
        if (isOver) return;
      }
    } catch (error) {
      if (!isAbort(error)) this.error = messageFor(error);
    }
  }
}

export const runs = new Runs();
