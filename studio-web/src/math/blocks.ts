import type { EngineStep, Pool } from "../api/types.ts";

/** A block of the KV cache: who holds it, whether others can find it, and whether it stays though nobody holds it. */
export interface Block {
  holders: readonly number[];
  isPublished: boolean;
  isKept: boolean;
}

export interface Totals {
  taken: number;
  hits: number;
  evicted: number;
  preempted: number;
}

/** The blocks after a step, and what had happened by then. */
export interface Cache {
  blocks: readonly Block[];
  totals: Totals;
}

const FREE: Block = { holders: [], isPublished: false, isKept: false };
/** Texts that held a block before anybody looked have no number that is known here. */
export const SOMEBODY = -1;

export function openCache(pool: Pool): Cache {
  const blocks = Array.from({ length: pool.num_blocks }, () => FREE);
  for (const [block, texts] of pool.held)
    blocks[block] = { ...FREE, holders: Array.from({ length: texts }, () => SOMEBODY) };
  for (const block of pool.cached) blocks[block] = { ...FREE, isPublished: true, isKept: true };
  return { blocks, totals: { taken: 0, hits: 0, evicted: 0, preempted: 0 } };
}

/** What a step makes of the blocks. */
export function afterStep(cache: Cache, step: EngineStep): Cache {
  const blocks = [...cache.blocks];
  const totals = { ...cache.totals };
  for (const [what, block, answer] of step.changes) {
    if (what === "reset") blocks.fill(FREE);
    if (what === "preempt") totals.preempted++;
    if (block === null) continue;
    const before = blocks[block] ?? FREE;
    const holder = answer ?? SOMEBODY;
    switch (what) {
      case "take":
        blocks[block] = { ...FREE, holders: [holder] };
        totals.taken++;
        break;
      case "share":
        blocks[block] = { holders: [...before.holders, holder], isPublished: true, isKept: false };
        totals.hits++;
        break;
      case "publish":
        blocks[block] = { ...before, isPublished: true };
        break;
      case "leave":
        blocks[block] = { ...before, holders: without(before.holders, holder) };
        break;
      case "keep":
        blocks[block] = { holders: [], isPublished: true, isKept: true };
        break;
      case "give":
        blocks[block] = FREE;
        break;
      case "evict":
        blocks[block] = FREE;
        totals.evicted++;
        break;
    }
  }
  return { blocks, totals };
}

function without(holders: readonly number[], holder: number): number[] {
  const at = holders.includes(holder) ? holders.indexOf(holder) : holders.indexOf(SOMEBODY);
  return holders.filter((_, index) => index !== at);
}
