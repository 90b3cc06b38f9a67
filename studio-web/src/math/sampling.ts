/**
 * How an answer is drawn: options by the names that the API has for them. What is left out is what the model's own
 * files ask for.
 */
export type Sampling = Partial<Record<NumberName, number>> & {
  stop?: string[];
  logit_bias?: Record<string, number>;
  ignore_eos?: boolean;
};

export interface NumberOption {
  name: string;
  label: string;
  about: string;
  least: number;
  most: number;
  /** How far an arrow key goes; options whose step is no whole number take any between. */
  step: number;
}

/** What is often set. */
export const COMMON = [
  {
    name: "temperature",
    label: "Temperature",
    about: "0 always takes the most probable",
    least: 0,
    most: 5,
    step: 0.1,
  },
  { name: "top_k", label: "Top k", about: "only the k most probable; 0 is all", least: 0, most: 1000, step: 1 },
  { name: "top_p", label: "Top p", about: "the fewest that have this share", least: 0, most: 1, step: 0.05 },
  { name: "min_p", label: "Min p", about: "as a share of the most probable", least: 0, most: 1, step: 0.01 },
  { name: "max_tokens", label: "Tokens at most", about: "then the answer is cut", least: 1, most: 4096, step: 1 },
  { name: "seed", label: "Seed", about: "the same seed draws the same again", least: 0, most: 2 ** 31, step: 1 },
] as const satisfies readonly NumberOption[];

/** What is seldom set. */
export const RARE = [
  {
    name: "repetition_penalty",
    label: "Repetition penalty",
    about: "above 1: what stands there is less probable",
    least: 0.1,
    most: 3,
    step: 0.05,
  },
  {
    name: "presence_penalty",
    label: "Presence penalty",
    about: "off the logits of what the answer has",
    least: -2,
    most: 2,
    step: 0.1,
  },
  {
    name: "frequency_penalty",
    label: "Frequency penalty",
    about: "the same, as often as it has it",
    least: -2,
    most: 2,
    step: 0.1,
  },
  { name: "min_tokens", label: "Tokens at least", about: "no end before so many", least: 0, most: 4096, step: 1 },
] as const satisfies readonly NumberOption[];

export const NUMBERS = [...COMMON, ...RARE];
export type NumberName = (typeof NUMBERS)[number]["name"];

const ESCAPED: Record<string, string> = { n: "\n", r: "\r", t: "\t", "\\": "\\" };

/** Stop strings as they are written: one a line, in which `\n`, `\t` and `\\` are what a line cannot hold. */
export function readStops(written: string): string[] {
  return written
    .split("\n")
    .filter(Boolean)
    .map((line) => line.replace(/\\([nrt\\])/g, (_, sign: string) => ESCAPED[sign] ?? sign));
}

/** Biases as they are written: `198: -100, 13: 2.5`; undefined where something else stands there. */
export function readBiases(written: string): Record<string, number> | undefined {
  const pairs = written.split(",").filter((part) => part.trim());
  const read = pairs.map((pair) => pair.match(/^\s*(\d{1,9})\s*:\s*([+-]?\d+(?:\.\d+)?)\s*$/));
  if (read.some((found) => !found)) return undefined;
  return Object.fromEntries(read.map((found) => [found![1]!, Number(found![2])]));
}
