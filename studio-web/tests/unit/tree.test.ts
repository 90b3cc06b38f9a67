import { describe, expect, test } from "vitest";
import { type Knot, lineTo, placeTree } from "../../src/math/tree.ts";

type Nodes = Parameters<typeof placeTree>[0];

/** A merge tree of so many letters, put together from the left, from the right, or anywhere. */
function mergeTree(numLetters: number, choose: (count: number) => number, rank: number): Nodes {
  const nodes: Nodes = Array.from({ length: numLetters }, (_, at) => ({
    id: at,
    begin: at,
    end: at + 1,
    text: "abcdefghij"[at % 10]!,
    rank: null,
    parts: [],
  }));
  const open = nodes.map((_, at) => at);
  while (open.length > 1) {
    const at = choose(open.length - 1);
    const [left, right] = [open[at]!, open[at + 1]!];
    const [first, last] = [nodes[left]!, nodes[right]!];
    open.splice(at, 2, nodes.length);
    nodes.push({
      id: nodes.length,
      begin: first.begin,
      end: last.end,
      text: first.text + last.text,
      rank,
      parts: [left, right],
    });
  }
  return nodes;
}

function boxOf({ x, y, width, height }: Knot) {
  return { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 };
}

/** The three straight parts of a line, as boxes without a width. */
function partsOf(path: string) {
  const [x, y, middle, toX, toY] = path.match(/-?\d+(\.\d+)?/g)!.map(Number) as [
    number,
    number,
    number,
    number,
    number,
  ];
  return [
    { left: x, right: x, top: y, bottom: middle },
    { left: Math.min(x, toX), right: Math.max(x, toX), top: middle, bottom: middle },
    { left: toX, right: toX, top: middle, bottom: toY },
  ];
}

type Box = ReturnType<typeof boxOf>;
const meet = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

const random = (seed: number) => {
  let state = seed;
  return (count: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % count;
  };
};

describe("the tree of merges", () => {
  const shapes: [string, Nodes][] = [
    ["from the left", mergeTree(30, () => 0, 49_999)],
    ["from the right", mergeTree(30, (count) => count - 1, 199_999)],
    ...Array.from({ length: 20 }, (_, seed): [string, Nodes] => [
      `anywhere, ${seed}`,
      mergeTree(3 + seed, random(seed + 1), 10 ** (seed % 7)),
    ]),
  ];

  test.each(shapes)("nothing crosses a box or a rank: %s", (_, nodes) => {
    const { knots, width, height } = placeTree(nodes);
    const boxes = knots.map(boxOf);
    for (const [at, box] of boxes.entries()) {
      expect(box.left >= 0 && box.right <= width && box.top >= 0 && box.bottom <= height).toBe(true);
      expect(boxes.filter((other, index) => index !== at && meet(box, other))).toEqual([]);
    }
    for (const [at, knot] of knots.entries())
      for (const part of knot.parts)
        for (const line of partsOf(lineTo(knot, knots[part]!)))
          expect(boxes.filter((box, index) => index !== at && index !== part && meet(line, box))).toEqual([]);
  });

  test("a box holds its rank and its label, of wide letters too", () => {
    const nodes = mergeTree(3, () => 0, 123_456);
    nodes[4]!.text = "你好吗";
    const { knots } = placeTree(nodes);
    expect(knots[3]!.width).toBeGreaterThan("123456".length * 6.6);
    expect(knots[4]!.width).toBeGreaterThan(3 * 13);
  });
});
