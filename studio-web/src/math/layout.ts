import type { TokensAnswer } from "../api/types.ts";
import { byteKind, hexOf, overlapping, type Span, spanAt, symbolsAt, visible } from "./picture.ts";
import { inkOn, ramp } from "./ramp.ts";

/** The rows of a line of the linked picture, from top to bottom. */
export const LEVELS = ["characters", "bytes", "pieces", "symbols", "tokens", "other"] as const;
export type Level = (typeof LEVELS)[number];
export type Colouring = "turns" | "bytes" | "rank";

export interface Cell extends Span {
  level: Level;
  label: string;
  kind: string;
  ground?: string;
  ink?: string;
  /** It goes on in the line before, or after. */
  isCutBefore: boolean;
  isCutAfter: boolean;
}

/** A text with all that its picture is drawn from. */
export interface Picture {
  answer: TokensAnswer;
  bytes: Uint8Array;
  characterEnds: number[];
  /** Merges of this rank and above are not made yet. */
  rank: number;
  colouring: Colouring;
  ranks: Map<number, number>;
  highestRank: number;
  other: TokensAnswer | undefined;
  commonEnds: Set<number>;
}

/** The bytes that colour has the whole ramp for: few tokens are longer. */
const LONG_TOKEN = 12;
const decoder = new TextDecoder();

/** Every span of a level that shares a byte with [begin, end), and what is written in it. */
export function spansOf(
  picture: Picture,
  level: Level,
  begin: number,
  end: number,
): (Span & { index: number; id?: number })[] {
  const { answer } = picture;
  if (level === "bytes")
    return Array.from({ length: end - begin }, (_, at) => ({
      begin: begin + at,
      end: begin + at + 1,
      index: begin + at,
    }));
  if (level === "symbols") return symbolSpans(picture, begin, end);
  const ends =
    level === "characters"
      ? picture.characterEnds
      : level === "pieces"
        ? answer.pieces.ends
        : level === "tokens"
          ? answer.ends
          : (picture.other?.ends ?? []);
  const { first, last } = overlapping(ends, begin, end);
  const ids = level === "tokens" ? answer.ids : level === "other" ? picture.other?.ids : undefined;
  return Array.from({ length: Math.max(0, last - first) }, (_, at) => {
    const index = first + at;
    const span = { begin: index ? ends[index - 1]! : 0, end: ends[index]!, index };
    return ids ? { ...span, id: ids[index]! } : span;
  });
}

function symbolSpans(picture: Picture, begin: number, end: number): (Span & { index: number; id?: number })[] {
  const { answer, rank } = picture;
  if (rank === Infinity) return spansOf(picture, "tokens", begin, end);
  return spansOf(picture, "pieces", begin, end).flatMap((piece) => {
    const shape = answer.shapes[answer.pieces.shapes[piece.index]!]!;
    const isChanged = shape.hex.replaceAll(" ", "").length / 2 !== piece.end - piece.begin;
    // What is looked up as a whole has no merging, and what was changed before it no places in this text.
    const symbols =
      shape.is_whole || shape.is_added || isChanged
        ? spansOf(picture, "tokens", piece.begin, piece.end)
        : symbolsAt(shape, rank).map((symbol) => ({
            begin: piece.begin + symbol.begin,
            end: piece.begin + symbol.end,
            index: piece.begin + symbol.begin,
            id: symbol.id,
          }));
    return symbols.filter((symbol) => symbol.end > begin && symbol.begin < end);
  });
}

/** What stands at a byte in a level. */
export function spanOf(picture: Picture, level: Level, place: number): Span | undefined {
  return spansOf(picture, level, place, place + 1)[0];
}

/** All cells of the line [begin, end). */
export function cellsOf(picture: Picture, begin: number, end: number): Cell[] {
  const levels = LEVELS.filter((level) => level !== "other" || picture.other);
  return levels.flatMap((level) =>
    spansOf(picture, level, begin, end).map((span) => ({
      level,
      begin: Math.max(begin, span.begin),
      end: Math.min(end, span.end),
      isCutBefore: span.begin < begin,
      isCutAfter: span.end > end,
      ...looks(picture, level, span),
    })),
  );
}

function looks(
  picture: Picture,
  level: Level,
  span: Span & { index: number; id?: number },
): Pick<Cell, "label" | "kind" | "ground" | "ink"> {
  const { bytes } = picture;
  const text = () => visible(decoder.decode(bytes.subarray(span.begin, span.end)));
  switch (level) {
    case "characters":
      return { label: text(), kind: isSpace(bytes[span.begin]!) ? "space" : "" };
    case "bytes":
      return { label: hexOf(bytes[span.begin]!), kind: byteKind(bytes[span.begin]!) };
    case "pieces":
      return { label: text(), kind: span.index % 2 ? "odd" : "even" };
    case "symbols":
      return { label: text(), kind: span.end - span.begin > 1 ? "made" : "" };
    case "tokens":
      return { label: String(span.id), ...tokenColour(picture, span) };
    case "other": {
      const isShared =
        picture.commonEnds.has(span.end) &&
        (span.begin === 0 || picture.commonEnds.has(span.begin)) &&
        isOneToken(picture, span);
      return { label: String(span.id), kind: isShared ? "shared" : "differs" };
    }
  }
}

function tokenColour(
  picture: Picture,
  span: Span & { index: number; id?: number },
): Pick<Cell, "kind" | "ground" | "ink"> {
  if (picture.colouring === "turns") return { kind: span.index % 2 ? "odd" : "even" };
  const share =
    picture.colouring === "bytes" ? (span.end - span.begin - 1) / (LONG_TOKEN - 1) : rankShare(picture, span.id!);
  return { kind: "ramp", ground: ramp(share), ink: inkOn(share) };
}

/** Ranks on a scale of equal factors: the first merges say more than the last. */
function rankShare(picture: Picture, id: number): number {
  const rank = picture.ranks.get(id);
  return rank === undefined ? 0 : Math.log1p(rank) / Math.log1p(picture.highestRank);
}

function isOneToken(picture: Picture, span: Span): boolean {
  return picture.answer.ends[spanAt(picture.answer.ends, span.begin)] === span.end;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
