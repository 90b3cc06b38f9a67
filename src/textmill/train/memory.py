"""How many rows go through the model at once, and what is recomputed: by the formula of what a step holds.

The run holds more than its steps do: a copy of weights and optimizer that a checkpoint is written from, and two to go
back to where the loss jumps; and where a model is tuned what ``Tuned`` tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.model.activation_bytes import AdapterSizes, block_matrix_parameters
from textmill.model.config import ModelConfig
from textmill.model.machine import memory
from textmill.model.training_bytes import Remat, Targets, TrainingBytes, training_bytes
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import StageTable
from textmill.train.spread import HERE, Spread
from textmill.train.stage_steps import rows_of

# Rows beyond so many logits keep every core busy already, and only take memory.
_MAX_LOGITS = 64 << 20
# A GPU takes more before it is busy; the loss cuts logits into chunks by itself.
_MAX_TOKENS_ON_GPU = 1 << 16
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Tuned:
    """What a run that tunes a model holds otherwise than one of pretraining.

    Attributes:
        targets: what its loss is of.
        adapters: what is learned where the model is frozen.
        beside_bytes: what is held all the time beside the model: another one that it is compared with.
        between_bytes: what is held between steps, when activations and gradients are not: an engine that writes answers
            with the model's weights, or these with adapters merged.
    """

    targets: Targets = "all"
    adapters: AdapterSizes | None = None
    beside_bytes: int = 0
    between_bytes: int = 0


UNTUNED = Tuned()


def choose_memory(  # noqa: PLR0917  each is another thing
    recipe: Recipe,
    config: ModelConfig,
    say: Callable[[str], None],
    available: int | None = None,
    spread: Spread = HERE,
    tuned: Tuned = UNTUNED,
) -> MemoryChoice:
    """Choose what recomputes least and fits, then as many rows at once as fit; what the recipe says is kept.

    Args:
        recipe: what is wanted.
        config: the model's sizes.
        say: told of the decision.
        available: bytes that a process may take; what the machine or its GPU has free unless given.
        spread: the processes that train, and on what.
        tuned: what tuning holds.

    Raises:
        ConfigError: nothing that the recipe allows fits.
    """
    limit = int(_USABLE * (_available(spread) if available is None else available))
    choices = list(_choices(recipe, config, spread, tuned))
    fitting = next((choice for choice in choices if choice.predicted_bytes <= limit), None)
    if fitting is None:
        least = min(choices, key=lambda choice: choice.predicted_bytes)
        raise ConfigError(_advice(recipe, config, least, limit, spread, tuned))
    rows = ", ".join(str(number) for number in dict.fromkeys(fitting.micro_rows))
    say(
        f"memory {units.num_bytes(fitting.predicted_bytes)} at most, of {units.num_bytes(limit)} that may be used: "
        f"{rows} row{'s' if rows != '1' else ''} at once, remat {fitting.remat}"
    )
    return fitting


def predicted_bytes(  # noqa: PLR0917  each is another thing
    recipe: Recipe,
    config: ModelConfig,
    micro_rows: tuple[int, ...],
    remat: Remat,
    spread: Spread = HERE,
    tuned: Tuned = UNTUNED,
) -> int:
    """Reckon a run's peak on one process: the largest stage's step, or what lies between two, and the run's copies.

    Those of a run on a GPU are in the machine's memory, and not counted.
    """
    either: tuple[Literal["f32", "bf16"], ...] = ("f32", "bf16") if spread.device == "cpu" else ("bf16",)
    dtypes = either if recipe.run.precision == "auto" else (recipe.run.precision,)
    reckoned = [
        training_bytes(
            config,
            micro_rows=rows,
            context=stage.context,
            dtype=dtype,
            remat=remat,
            optimizer=recipe.optimizer.kind,
            averages=recipe.optimizer.ema_decay > 0,
            on_gpu=spread.device != "cpu",
            accumulates=rows < _rows_of_rank(recipe, stage, spread),
            targets=tuned.targets,
            adapters=tuned.adapters,
        )
        for stage, rows in zip(recipe.stages, micro_rows, strict=True)
        for dtype in dtypes
    ]
    copies = 0 if spread.device != "cpu" else 3 if recipe.spikes.action == "rewind" else 1
    if spread.num_holders > 1:
        reckoned = [_shared_out(config, step, spread.num_holders) for step in reckoned]
    weights = reckoned[0].weights if tuned.adapters is None else 4 * tuned.adapters.num_parameters
    peak = max(max(step.peak, step.between + tuned.between_bytes) for step in reckoned)
    return peak + tuned.beside_bytes + copies * (weights + reckoned[0].optimizer_state)


def _shared_out(config: ModelConfig, step: TrainingBytes, num_holders: int) -> TrainingBytes:
    """A rank's part, and what it gathers meanwhile: table and head, the block that computes and the next one."""
    tables = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    blocks = 2 * block_matrix_parameters(config)
    return dataclasses.replace(
        step,
        weights=step.weights // num_holders + 4 * (tables + blocks),
        gradients=step.gradients // num_holders + 4 * (tables + blocks),
        optimizer_state=step.optimizer_state // num_holders,
    )


def _available(spread: Spread) -> int:
    if spread.device == "cuda":
        import torch  # what reckons with CPUs alone needs none

        return torch.cuda.mem_get_info()[0]
    return memory().available // spread.num_here


def _rows_of_rank(recipe: Recipe, stage: StageTable, spread: Spread) -> int:
    return -(-rows_of(recipe, stage) // spread.num_readers)


def _choices(recipe: Recipe, config: ModelConfig, spread: Spread, tuned: Tuned) -> Iterator[MemoryChoice]:
    """All that the recipe allows, the quickest first."""
    remats = _REMATS if recipe.run.remat == "auto" else (recipe.run.remat,)
    for remat in remats:
        cut = 1
        while True:
            micro_rows = tuple(
                recipe.batch.micro_rows
                or _micro_rows(_rows_of_rank(recipe, stage, spread), _most_rows(stage, config, spread) // cut)
                for stage in recipe.stages
            )
            yield MemoryChoice(micro_rows, remat, predicted_bytes(recipe, config, micro_rows, remat, spread, tuned))
            if recipe.batch.micro_rows is not None or max(micro_rows) == 1:
                break
            cut *= 2


def _most_rows(stage: StageTable, config: ModelConfig, spread: Spread) -> int:
    """Rows that keep the cores busy."""
    if spread.device != "cpu":
        return _MAX_TOKENS_ON_GPU // stage.context
    return _MAX_LOGITS // (stage.context * config.vocab_size)


def _micro_rows(rows: int, most: int) -> int:
    """The largest divisor of a batch's rows that is at most ``most``, or 1."""
    wanted = max(1, most)
    return max(divisor for divisor in range(1, rows + 1) if rows % divisor == 0 and divisor <= wanted)


def _advice(  # noqa: PLR0917  each is another thing
    recipe: Recipe, config: ModelConfig, least: MemoryChoice, limit: int, spread: Spread, tuned: Tuned
) -> str:
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
        needed = predicted_bytes(recipe, config, micro_rows, remat, spread, tuned)
        if needed <= limit:
            remedies.append(f"{words} takes {units.num_bytes(needed)}")
    if not remedies:
        no_copies = dataclasses.replace(recipe, spikes=dataclasses.replace(recipe.spikes, action="off"))
        needed = predicted_bytes(no_copies, config, ones, "full", spread, tuned)
        if needed <= limit:
            remedies.append(f"{words} --set spikes.action=off takes {units.num_bytes(needed)}")
    remedies.append("a shorter context or a smaller model takes less")
    return f"{text}. {'; '.join(remedies)}"
