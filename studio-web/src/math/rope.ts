/**
 * What a query meets in a key that is the same vector, by their distance: the mean of cos(distance * frequency) over
 * the pairs of a head, where all have the same length (arXiv:2104.09864 §3.4.3). It is 1 where they stand at one place.
 */
export function likeness(frequencies: ArrayLike<number>, distance: number): number {
  let sum = 0;
  for (let pair = 0; pair < frequencies.length; pair++) sum += Math.cos(distance * frequencies[pair]!);
  return sum / frequencies.length;
}

/** Whole distances from 0 to `most`, at most `points` of them, close together where they are small. */
export function distances(most: number, points: number): number[] {
  if (most < points) return Array.from({ length: most + 1 }, (_, distance) => distance);
  const chosen = new Set<number>([0]);
  for (let at = 0; at < points; at++) chosen.add(Math.round(most ** (at / (points - 1))));
  return Array.from(chosen).sort((a, b) => a - b);
}
