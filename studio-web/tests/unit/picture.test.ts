import { describe, expect, test } from "vitest";
import type { Shape } from "../../src/api/types.ts";
import {
  byteKind,
  characterEnds,
  lineStarts,
  overlapping,
  spanAt,
  symbolsAt,
  utf8,
  utf16Offset,
  visible,
} from "../../src/math/picture.ts";

const TEXTS = ["", "a", "né x", "你好, 👩‍🚀!\n", "\n\n\n", "x".repeat(300), "a\u0301\r\n\t b"];

/** Whole numbers that look random and are the same in each run (xorshift32). */
function* numbers(seed: number): Generator<number, never> {
  let state = seed;
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state >>> 0;
  }
}

describe("characters and bytes", () => {
  test.each(TEXTS)("the ends of characters of %j are those that its code points have", (text) => {
    let end = 0;
    const expected = Array.from(text, (character) => (end += utf8(character).length));
    expect(characterEnds(utf8(text))).toEqual(expected);
  });

  test.each(TEXTS)("places in %j are found in UTF-16", (text) => {
    const bytes = utf8(text);
    for (const end of [0, ...characterEnds(bytes)]) {
      expect(utf16Offset(bytes, end)).toBe(
        new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(0, end)).length,
      );
    }
  });

  test("bytes are told by what they are in UTF-8", () => {
    expect(Array.from(utf8("aé"), byteKind)).toEqual(["ascii", "lead", "rest"]);
  });

  test("what cannot be seen has a sign", () => {
    expect(visible("a b\n\u0007")).toBe("a·b↵▯");
  });
});

describe("lines", () => {
  const random = numbers(7);
  const cases = Array.from({ length: 60 }, () => {
    const pieces = Array.from({ length: random.next().value % 30 }, () => 1 + (random.next().value % 40));
    let end = 0;
    return { ends: pieces.map((length) => (end += length)), columns: 1 + (random.next().value % 50) };
  });

  test.each(cases)("tile the text, none is wider than $columns, and no piece that fits is cut", ({ ends, columns }) => {
    const bytes = new Uint8Array(ends.at(-1) ?? 0).fill(0x61);
    const starts = lineStarts(bytes, ends, columns);
    expect(starts[0]).toBe(0);
    expect(starts.at(-1)).toBe(bytes.length);
    for (let line = 1; line < starts.length; line++)
      expect(starts[line]! - starts[line - 1]!).toBeLessThanOrEqual(columns);
    ends.forEach((end, index) => {
      const begin = ends[index - 1] ?? 0;
      if (end - begin <= columns) expect(starts.some((start) => start > begin && start < end)).toBe(false);
    });
  });

  test("a line's end ends a line", () => {
    expect(lineStarts(utf8("ab\ncd"), [2, 3, 5], 80)).toEqual([0, 3, 5]);
  });
});

describe("spans", () => {
  const ends = [2, 3, 7, 8];

  test("the span at a place is the one that a walk from the left finds", () => {
    for (let place = 0; place < 8; place++) expect(spanAt(ends, place)).toBe(ends.findIndex((end) => end > place));
  });

  test("spans that overlap are all that share a byte", () => {
    for (let begin = 0; begin < 8; begin++) {
      for (let end = begin + 1; end <= 8; end++) {
        const sharing = ends
          .map((_, index) => index)
          .filter((index) => (ends[index - 1] ?? 0) < end && ends[index]! > begin);
        const { first, last } = overlapping(ends, begin, end);
        expect(Array.from({ length: last - first }, (_, at) => first + at)).toEqual(sharing);
      }
    }
  });
});

describe("merges by rank", () => {
  /** "hell" by the merges l l (3), h e (5), he ll (9): the second and third depend on what was made before. */
  const shape: Shape = {
    hex: "68656c6c",
    text: "hell",
    symbols: [1, 2, 3, 3],
    symbol_ends: [1, 2, 3, 4],
    merges: [
      [2, 30, 3],
      [0, 12, 5],
      [0, 99, 9],
    ],
    is_whole: false,
    is_added: false,
  };
  const ids = (rank: number) => symbolsAt(shape, rank).map(({ id }) => id);

  test("each rank lets one more merge be made", () => {
    expect(ids(0)).toEqual([1, 2, 3, 3]);
    expect(ids(4)).toEqual([1, 2, 30]);
    expect(ids(6)).toEqual([12, 30]);
    expect(ids(Infinity)).toEqual([99]);
  });

  test("a merge of a low rank that needs one of a higher is not made of other parts", () => {
    const late: Shape = {
      ...shape,
      merges: [
        [0, 12, 8],
        [0, 50, 2],
      ],
      symbols: [1, 2, 3],
      symbol_ends: [1, 2, 3],
    };
    expect(symbolsAt(late, 5).map(({ id }) => id)).toEqual([1, 2, 3]);
    expect(symbolsAt(late, 9).map(({ id }) => id)).toEqual([50]);
  });

  test("what is left always tiles the piece", () => {
    for (let rank = 0; rank < 12; rank++) {
      let end = 0;
      for (const symbol of symbolsAt(shape, rank)) {
        expect(symbol.begin).toBe(end);
        end = symbol.end;
      }
      expect(end).toBe(4);
    }
  });
});
