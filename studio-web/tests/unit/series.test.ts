import { describe, expect, test } from "vitest";
import { align, placeOf, smooth } from "../../src/math/series.ts";

describe("smoothing", () => {
  test("leaves what is even as it is, from the first point on", () => {
    expect(smooth([3, 3, 3], 0.9).map((value) => Number(value?.toFixed(12)))).toEqual([3, 3, 3]);
  });

  test("is the weighted mean that it is by definition", () => {
    const values = [5, 1, 4, 2, 8];
    const weight = 0.7;
    const last = smooth(values, weight).at(-1);
    const weights = values.map((_, at) => weight ** (values.length - 1 - at));
    const expected =
      values.reduce((sum, value, at) => sum + value * weights[at]!, 0) / weights.reduce((sum, one) => sum + one, 0);
    expect(last).toBeCloseTo(expected, 12);
  });

  test("without weight nothing changes, and what is missing stays missing", () => {
    expect(smooth([1, null, 3], 0)).toEqual([1, null, 3]);
  });
});

test("columns with places of their own meet on the same axis", () => {
  const { x, values } = align([
    { x: [1, 2, 4], values: [10, 20, 40] },
    { x: [2, 3], values: [200, 300] },
  ]);
  expect(x).toEqual([1, 2, 3, 4]);
  expect(values).toEqual([
    [10, 20, null, 40],
    [null, 200, 300, null],
  ]);
});

test("a step between points lies between their places", () => {
  expect(placeOf(15, [10, 20], [100, 300])).toBe(200);
  expect(placeOf(5, [10, 20], [100, 300])).toBe(50);
  expect(placeOf(99, [10, 20], [100, 300])).toBe(300);
});
