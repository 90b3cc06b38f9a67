"""How many rows go through the model at once, and what is recomputed: by the formula of what a step holds.

The run holds more than its steps do: a copy of weights and optimizer that a checkpoint is written from, and two to go
back to where the loss jumps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.model.machine import memory
from textmill.model.training_bytes import Remat, training_bytes
from textmill.train.recipe import Recipe
from textmill.train.stage_steps import rows_of

# Rows beyond so many logits keep every core busy already, and only take memory.
_MAX_LOGITS = 64 << 20
# The rest is for other programs, and for the system's copies of files.
_USABLE = 0.9
_REMATS: tuple[Remat, ...] = ("none", "llama", "full")


@dataclass(frozen=True, slots=True)
class MemoryChoice:
    """What was chosen.

    Attributes:
        micro_rows: rows at once, of each stage.
        remat: what is recomputed in the backward pass.
        predicted_bytes: the run's peak, by the formula.
    """

    micro_rows: tuple[int, ...]
    remat: Remat
    predicted_bytes: int


def choose_memory(
    recipe: Recipe, config: ModelConfig, say: Callable[[str], None], available: int | None = None
) -> MemoryChoice:
    """Choose what recomputes least and fits, then as many rows at once as fit; what the recipe says is kept.

    Args:
        recipe: what is wanted.
        config: the model's sizes.
        say: told of the decision.
        available: bytes that the run may take; what the machine has free unless given.

    Raises:
        ConfigError: nothing that the recipe allows fits.
    """
    limit = int(_USABLE * (memory().available if available is None else available))
    choices = list(_choices(recipe, config))
    fitting = next((choice for choice in choices if choice.predicted_bytes <= limit), None)
    if fitting is None:
        raise ConfigError(_advice(recipe, config, min(choices, key=lambda choice: choice.predicted_bytes), limit))
    rows = ", ".join(str(number) for number in dict.fromkeys(fitting.micro_rows))
    say(
        f"memory {units.num_bytes(fitting.predicted_bytes)} at most, of {units.num_bytes(limit)} that may be used: "
        f"{rows} row{'s' if rows != '1' else ''} at once, remat {fitting.remat}"
    )
    return fitting


def predicted_bytes(recipe: Recipe, config: ModelConfig, micro_rows: tuple[int, ...], remat: Remat) -> int:
    """Reckon a run's peak: the largest stage's step, and the copies that a run keeps."""
    dtypes: tuple[Literal["f32", "bf16"], ...] = (
        ("f32", "bf16") if recipe.run.precision == "auto" else (recipe.run.precision,)
    )
    reckoned = [
        training_bytes(
            config,
            micro_rows=rows,
            context=stage.context,
            dtype=dtype,
            remat=remat,
            optimizer=recipe.optimizer.kind,
            averages=recipe.optimizer.ema_decay > 0,
            accumulates=rows < rows_of(recipe, stage),
        )
        for stage, rows in zip(recipe.stages, micro_rows, strict=True)
        for dtype in dtypes
    ]
    copies = 3 if recipe.spikes.action == "rewind" else 1
    return max(step.peak for step in reckoned) + copies * (reckoned[0].weights + reckoned[0].optimizer_state)


def _choices(recipe: Recipe, config: ModelConfig) -> Iterator[MemoryChoice]:
    """All that the recipe allows, the quickest first."""
    remats = _REMATS if recipe.run.remat == "auto" else (recipe.run.remat,)
    for remat in remats:
        cut = 1
        while True:
            micro_rows = tuple(
                recipe.batch.micro_rows or _micro_rows(rows_of(recipe, stage), stage.context, config.vocab_size, cut)
                for stage in recipe.stages
            )
            yield MemoryChoice(micro_rows, remat, predicted_bytes(recipe, config, micro_rows, remat))
            if recipe.batch.micro_rows is not None or max(micro_rows) == 1:
                break
            cut *= 2


def _micro_rows(rows: int, context: int, vocab_size: int, cut: int) -> int:
    """The largest divisor of a batch's rows that keeps the cores busy, or a ``cut``-th of it."""
    wanted = max(1, _MAX_LOGITS // (context * vocab_size) // cut)
    return max(divisor for divisor in range(1, rows + 1) if rows % divisor == 0 and divisor <= wanted)


def _advice(recipe: Recipe, config: ModelConfig, least: MemoryChoice, limit: int) -> str:
    """Say what does not fit, and what would."""
    longest = max(stage.context for stage in recipe.stages)
    text = (
        f"the training takes {units.num_bytes(least.predicted_bytes)} with {max(least.micro_rows)} rows of {longest:,} "
        f"tokens at once and remat {least.remat}, and {units.num_bytes(limit)} may be used"
    )
    remedies = []
    ones = (1,) * len(recipe.stages)
    options = (
        (ones, least.remat, "--set batch.micro_rows=1"),
        (least.micro_rows, "full", "--set run.remat=full"),
        (ones, "full", "--set batch.micro_rows=1 --set run.remat=full"),
    )
    for micro_rows, remat, words in options:
        needed = predicted_bytes(recipe, config, micro_rows, remat)
        if needed <= limit:
            remedies.append(f"{words} takes {units.num_bytes(needed)}")
    if not remedies:
        no_copies = dataclasses.replace(recipe, spikes=dataclasses.replace(recipe.spikes, action="off"))
        needed = predicted_bytes(no_copies, config, ones, "full")
        if needed <= limit:
            remedies.append(f"{words} --set spikes.action=off takes {units.num_bytes(needed)}")
    remedies.append("a shorter context or a smaller model takes less")
    return f"{text}. {'; '.join(remedies)}"
