"""How many rows go through the model at once, and what is recomputed: by the formula of what a step holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from textmill.model.config import ModelConfig
from textmill.train.recipe import Recipe
from textmill.train.stage_steps import rows_of

# Placeholder figures until the model's own formula is wired in.
MAX_LOGITS_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class MemoryChoice:
    """What was chosen: rows at once of each stage, what is recomputed, and the peak that the formula gives."""

    micro_rows: tuple[int, ...]
    remat: Literal["none", "llama", "full"]
    predicted_bytes: int | None


def choose_memory(recipe: Recipe, config: ModelConfig, say: Callable[[str], None]) -> MemoryChoice:
    """Choose."""
    micro = tuple(
        recipe.batch.micro_rows or _micro_rows(rows_of(recipe, stage), stage.context, config.vocab_size)
        for stage in recipe.stages
    )
    return MemoryChoice(micro, "none" if recipe.run.remat == "auto" else recipe.run.remat, None)


def _micro_rows(rows: int, context: int, vocab_size: int) -> int:
    fitting = max(1, MAX_LOGITS_BYTES // (4 * context * vocab_size))
    return max(divisor for divisor in range(1, rows + 1) if rows % divisor == 0 and divisor <= fitting)
