import type { Shape, TokensAnswer } from "../api/types.ts";

/**
 * The linked picture of a text: a column for each byte, and rows of characters, bytes, pieces, symbols and tokens over
 * the same columns. It is cut into lines where pieces end, as words are in a book.
 */
export interface Span {
  begin: number;
  end: number;
}

export interface SymbolSpan extends Span {
  id: number;
}

const LINE_END = 0x0a;
const encoder = new TextEncoder();

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Where each character of UTF-8 ends: before every byte that is not the rest of one, and at the end. */
export function characterEnds(bytes: Uint8Array): number[] {
  const ends: number[] = [];
  for (let at = 1; at <= bytes.length; at++) if (at === bytes.length || (bytes[at]! & 0xc0) !== 0x80) ends.push(at);
  return ends;
}

/**
 * Where lines begin, and after the last the end of the text. A piece that fits into a line is not cut; after a piece
 * that ends with a line's end, the next line begins.
 */
export function lineStarts(bytes: Uint8Array, pieceEnds: readonly number[], columns: number): number[] {
  const starts = [0];
  let line = 0;
  const startLine = (at: number) => {
    line = at;
    starts.push(at);
  };
  let begin = 0;
  for (const end of pieceEnds) {
    if (end - line > columns && begin > line) startLine(begin);
    while (end - line > columns) startLine(line + columns);
    if (bytes[end - 1] === LINE_END && end < bytes.length) startLine(end);
    begin = end;
  }
  return [...starts, bytes.length];
}

/** The first of the ends that is beyond a place: the number of the span that holds it. */
export function spanAt(ends: readonly number[], place: number): number {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle]! > place) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The spans, as numbers from `first` to before `last`, that share a byte with [begin, end). */
export function overlapping(ends: readonly number[], begin: number, end: number): { first: number; last: number } {
  if (end <= begin) return { first: 0, last: 0 };
  return { first: spanAt(ends, begin), last: Math.min(ends.length, spanAt(ends, end - 1) + 1) };
}

/**
 * What is left of a piece when merges of a lower rank than `rank` have been made: each whose two parts stand there.
 * Places are in the piece.
 */
export function symbolsAt(shape: Shape, rank: number): SymbolSpan[] {
  const begins = [0, ...shape.symbol_ends.slice(0, -1)];
  const whole = new Map(
    begins.map((begin, index) => [begin, { end: shape.symbol_ends[index]!, id: shape.symbols[index]! }]),
  );
  const partial = new Map(whole);
  for (const [at, product, mergeRank] of shape.merges) {
    const middle = whole.get(at)!.end;
    const { end } = whole.get(middle)!;
    whole.delete(middle);
    whole.set(at, { end, id: product });
    // A part that was to be made by a merge that is left out is not there, and then this merge is not made, either.
    if (mergeRank >= rank || partial.get(at)?.end !== middle || partial.get(middle)?.end !== end) continue;
    partial.delete(middle);
    partial.set(at, { end, id: product });
  }
  return Array.from(partial, ([begin, { end, id }]) => ({ begin, end, id })).sort((a, b) => a.begin - b.begin);
}

/** Ranks of all merges of a text, each once, the lowest first. */
export function ranksOf(answer: TokensAnswer): number[] {
  const ranks = new Set<number>();
  for (const shape of answer.shapes) for (const [, , rank] of shape.merges) ranks.add(rank);
  return Array.from(ranks).sort((a, b) => a - b);
}

/** The rank of the merge that made each token last, by id; what no merge made (a byte, an added token) has none. */
export function rankOfTokens(answer: TokensAnswer): Map<number, number> {
  const ranks = new Map<number, number>();
  for (const shape of answer.shapes) for (const [, product, rank] of shape.merges) ranks.set(product, rank);
  return ranks;
}

/** A character as it is drawn in its cell: what cannot be seen has a sign. */
export function visible(text: string): string {
  return text.replace(/[\s\p{Cc}\p{Cf}\p{Cn}\p{Co}\p{Cs}\u2028\u2029]/gu, (character) => SIGNS[character] ?? "▯");
}

const SIGNS: Record<string, string> = {
  " ": "·",
  "\n": "↵",
  "\r": "␍",
  "\t": "→",
  "\u00a0": "⍽",
  "\u200d": "⁀",
  "\u0000": "␀",
};

export function hexOf(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** What a byte is in UTF-8. */
export function byteKind(byte: number): "ascii" | "lead" | "rest" {
  return byte < 0x80 ? "ascii" : byte >= 0xc0 ? "lead" : "rest";
}

/** Where each byte offset of UTF-8 lies in a JavaScript string, whose units are UTF-16. */
export function utf16Offset(bytes: Uint8Array, place: number): number {
  let units = 0;
  for (let at = 0; at < place; at++) {
    const byte = bytes[at]!;
    if ((byte & 0xc0) !== 0x80) units += byte >= 0xf0 ? 2 : 1;
  }
  return units;
}
