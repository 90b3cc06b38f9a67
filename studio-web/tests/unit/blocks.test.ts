import { describe, expect, test } from "vitest";
import type { EngineStep, Pool } from "../../src/api/types.ts";
import { afterStep, openCache } from "../../src/math/blocks.ts";

const POOL: Pool = { model: "m", num_blocks: 4, block_size: 16, bytes_per_block: 1024, held: [[3, 2]], cached: [2] };

function step(changes: EngineStep["changes"]): EngineStep {
  return { step: 1, seconds: 0, work: [], changes, num_free: 0, num_cached: 0, num_running: 0, num_waiting: 0 };
}

describe("blocks of the cache", () => {
  test("begin as the pool says", () => {
    const { blocks } = openCache(POOL);
    expect(blocks.map(({ holders }) => holders.length)).toEqual([0, 0, 0, 2]);
    expect(blocks[2]).toEqual({ holders: [], isPublished: true, isKept: true });
  });

  test("a block's life: lent, full, shared, left, kept, evicted, lent again", () => {
    let cache = openCache(POOL);
    cache = afterStep(
      cache,
      step([
        ["take", 0, 7],
        ["publish", 0, 7],
        ["share", 0, 8],
      ]),
    );
    expect(cache.blocks[0]).toEqual({ holders: [7, 8], isPublished: true, isKept: false });
    cache = afterStep(
      cache,
      step([
        ["leave", 0, 7],
        ["keep", 0, 8],
        ["finish", null, 8],
      ]),
    );
    expect(cache.blocks[0]).toEqual({ holders: [], isPublished: true, isKept: true });
    cache = afterStep(
      cache,
      step([
        ["evict", 0, null],
        ["take", 0, 9],
      ]),
    );
    expect(cache.blocks[0]).toEqual({ holders: [9], isPublished: false, isKept: false });
    expect(cache.totals).toEqual({ taken: 2, hits: 1, evicted: 1, preempted: 0 });
  });

  test("a step leaves what was there before as it was", () => {
    const before = openCache(POOL);
    afterStep(before, step([["take", 1, 0]]));
    expect(before.blocks[1]?.holders).toEqual([]);
  });

  test("a reset frees everything", () => {
    expect(
      afterStep(openCache(POOL), step([["reset", null, null]])).blocks.every(
        ({ holders, isKept }) => !holders.length && !isKept,
      ),
    ).toBe(true);
  });
});
