import type { ExplainedPiece } from "../api/types.ts";
import { visible } from "./picture.ts";

/** A symbol of a piece in the picture of its merges; places are in pixels, of the box's middle. */
export interface Knot {
  x: number;
  y: number;
  width: number;
  height: number;
  label: string;
  /** Of the merge that made it; null for what was there first. */
  rank: number | null;
  /** Numbers of the two that it was made of. */
  parts: readonly number[];
}

export interface Tree {
  knots: readonly Knot[];
  width: number;
  height: number;
  numLeaves: number;
}

const UNIT = 28;
const LEVEL = 48;
const GAP = 4;
const LETTER = 8;
/** Of Chinese, Japanese, Korean, and signs. */
const WIDE_LETTER = 14;
const DIGIT = 7;

/**
 * Places the merges of a piece: what was there first in a row at the bottom, and what was made of it above.
 *
 * A knot's label and rank stand in its box, which lies over what it is made of, and a line bends at once below the knot
 * that it comes from: so nothing crosses anything.
 */
export function placeTree(nodes: ExplainedPiece["tree"]["nodes"]): Tree {
  const depths: number[] = [];
  for (const { parts } of nodes) depths.push(parts.length ? 1 + Math.max(...parts.map((part) => depths[part]!)) : 0);
  const depth = Math.max(0, ...depths);
  // Two that are merged have room for the longest rank above them.
  const unit = Math.max(UNIT, (Math.max(0, ...nodes.map(({ rank }) => widthOfRank(rank))) + GAP) / 2);
  const knots: Knot[] = [];
  const extents: { left: number; right: number }[] = [];
  let right = 0;
  for (const [index, { text, rank, parts }] of nodes.entries()) {
    const label = visible(text);
    const width = Math.max(22, 8 + widthOf(label), widthOfRank(rank));
    const y = GAP + 17 + (depth - depths[index]!) * LEVEL;
    const [first, last] = [parts[0], parts.at(-1)];
    if (first === undefined || last === undefined) {
      const extent = { left: right, right: right + Math.max(unit, width + GAP) };
      right = extent.right;
      extents.push(extent);
      knots.push({ x: (extent.left + extent.right) / 2, y, width, height: 22, label, rank, parts });
    } else {
      const extent = { left: extents[first]!.left, right: extents[last]!.right };
      const middle = (knots[first]!.x + knots[last]!.x) / 2;
      const [least, most] = [extent.left + (width + GAP) / 2, extent.right - (width + GAP) / 2];
      extents.push(extent);
      knots.push({ x: Math.max(least, Math.min(most, middle)), y, width, height: 34, label, rank, parts });
    }
  }
  return { knots, width: right, height: 2 * GAP + 34 + depth * LEVEL, numLeaves: depths.filter((one) => !one).length };
}

function widthOfRank(rank: number | null): number {
  return rank === null ? 0 : 8 + String(rank).length * DIGIT;
}

function widthOf(label: string): number {
  return Array.from(label).reduce((sum, letter) => sum + (letter.codePointAt(0)! >= 0x1100 ? WIDE_LETTER : LETTER), 0);
}

/** The line from a knot to one of its parts, as a path of SVG: down, across, down. */
export function lineTo(knot: Knot, part: Knot): string {
  return `M${knot.x} ${knot.y}V${knot.y + LEVEL / 2}H${part.x}V${part.y}`;
}
