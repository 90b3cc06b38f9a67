"""Draws the figures of docs/concepts from textmill's own code: ``make figures``.

python docs/figures [FOLDER]      into docs/images/concepts, unless said
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import blocks
import dedup
import engine
import kv_cache
import mixtures
import norm
import packing
import remat
import rope
import saves
import tokens
import weights
from drawing import Figure

FIGURES: dict[str, Callable[[], Figure]] = {
    "tokens": tokens.line,
    "norm-rows": norm.rows,
    "rope-wavelengths": rope.wavelengths,
    "rope-dot-products": rope.dot_products,
    "kv-heads": kv_cache.heads,
    "kv-bytes": kv_cache.cache_bytes,
    "kv-blocks": blocks.shared,
    "schedules": mixtures.schedules,
    "stages": mixtures.stages,
    "remat-bytes": remat.saved_bytes,
    "dedup-found": dedup.found,
    "packing-rows": packing.rows,
    "save-moments": saves.moments,
    "four-bits": weights.four_bits,
    "engine-steps": engine.steps,
    "engine-draws": engine.kept_tokens,
}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "images" / "concepts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        (folder / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")
