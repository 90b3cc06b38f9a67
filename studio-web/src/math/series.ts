type Values = ArrayLike<number | null>;

/**
 * A moving mean that forgets by `weight` at every point, and that leaves the zeros before the first point out (as
 * Adam's bias correction does). What is missing stays missing.
 */
export function smooth(values: Values, weight: number): (number | null)[] {
  let mean = 0;
  let seen = 0;
  const smoothed: (number | null)[] = new Array(values.length);
  for (let at = 0; at < values.length; at++) {
    const value = values[at];
    if (value === null || value === undefined) {
      smoothed[at] = null;
      continue;
    }
    mean = weight * mean + (1 - weight) * value;
    seen = weight * seen + (1 - weight);
    smoothed[at] = mean / seen;
  }
  return smoothed;
}

/** Columns with places of their own as columns over the same places: where one has no point, it has null. */
export function align(columns: readonly { x: ArrayLike<number>; values: Values }[]): {
  x: number[];
  values: (number | null)[][];
} {
  const places = new Set<number>();
  for (const { x } of columns) for (let at = 0; at < x.length; at++) places.add(x[at]!);
  const x = Array.from(places).sort((a, b) => a - b);
  const index = new Map(x.map((place, at) => [place, at]));
  const values = columns.map((column) => {
    const aligned: (number | null)[] = new Array(x.length).fill(null);
    for (let at = 0; at < column.x.length; at++) aligned[index.get(column.x[at]!)!] = column.values[at] ?? null;
    return aligned;
  });
  return { x, values };
}

/** Where a step lies on another axis, between the points that are known. */
export function placeOf(step: number, steps: readonly number[], at: readonly number[]): number {
  if (!steps.length) return NaN;
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle]! < step) low = middle + 1;
    else high = middle;
  }
  const [right, rightAt] = [steps[low]!, at[low]!];
  if (low === 0 || right <= step) return step <= right ? (right ? (rightAt * step) / right : rightAt) : rightAt;
  const [left, leftAt] = [steps[low - 1]!, at[low - 1]!];
  return leftAt + ((rightAt - leftAt) * (step - left)) / (right - left);
}
