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
from textmill.train.host_memory import SNAPSHOTS, HostMemory, host_memory, what_takes_less
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
        predicted_host_bytes: what it keeps in the host's memory beside that, where it trains on GPUs.
    """

    micro_rows: tuple[int, ...]
    remat: Remat
    predicted_bytes: int
    predicted_host_bytes: int | None = None


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
    host_available: int | None = None,
) -> MemoryChoice:
    """Choose what recomputes least and fits, then as many rows at once as fit; what the recipe says is kept.

    Args:
        recipe: what is wanted.
        config: the model's sizes.
        say: told of the decision.
        available: bytes that a process may take; what the machine or its GPU has free unless given.
        spread: the processes that train, and on what.
        tuned: what tuning holds.
        host_available: bytes that a host of GPUs may be asked for; what this one has free unless given.

    Raises:
        ConfigError: nothing that the recipe allows fits, or the host has no room for the copies that a run keeps.
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
    if spread.device == "cpu":
        return fitting
    free = memory().available if host_available is None else host_available
    host_bytes = _check_host(host_memory(recipe, config, _learned(tuned)), spread, free)
    say(f"the host's memory {units.num_bytes(host_bytes)} beside: copies of the state, and the whole model at times")
    return dataclasses.replace(fitting, predicted_host_bytes=host_bytes)


def _learned(tuned: Tuned) -> int | None:
    """Numbers that are learned where the model is frozen."""
    return None if tuned.adapters is None else tuned.adapters.num_parameters


def _check_host(kept: HostMemory, spread: Spread, available: int) -> int:
    """What a host is asked for, where it has that."""
    needed, limit = kept.of_host(spread), int(_USABLE * available)
    if needed <= limit:
        return needed
    ways = [f"{words} takes {units.num_bytes(taken)}" for words, taken in what_takes_less(kept, spread, limit)]
    ways.append(
        "fewer processes on each host, or a smaller model, take less"
        if spread.num_here > 1
        else "a smaller model takes less"
    )
    raise ConfigError(
        f"the run keeps {units.num_bytes(needed)} in the memory of each host of {spread.num_here} "
        f"{units.plural(spread.num_here, 'GPU')} (copies to go back to and to save, and the whole model at times), and "
        f"{units.num_bytes(limit)} may be used. {'; '.join(ways)}"
    )


def predicted_bytes(  # noqa: PLR0917  each is another thing
    recipe: Recipe,
    config: ModelConfig,
    micro_rows: tuple[int, ...],
    remat: Remat,
    spread: Spread = HERE,
    tuned: Tuned = UNTUNED,
) -> int:
    """Reckon a run's peak on one process: the largest stage's step, or what lies between two, and the run's copies.

    Those of a run on a GPU are in the host's memory, and reckoned by ``host_memory``. On a CPU the first rank has the
    whole model beside them for a while, where ranks share it.
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
    kept = host_memory(recipe, config, _learned(tuned))
    if spread.num_holders > 1:
        reckoned = [_shared_out(config, step, spread, averages=recipe.optimizer.ema_decay > 0) for step in reckoned]
    peak = tuned.beside_bytes + max(max(step.peak, step.between + tuned.between_bytes) for step in reckoned)
    if spread.device != "cpu":
        return peak
    if spread.num_holders > 1:  # no gradient is there then, nor an activation
        peak = max(peak, kept.part(spread) + kept.model * (2 if kept.samples else 1))
    return peak + (1 + (SNAPSHOTS if kept.rewinds else 0)) * kept.part(spread)


def _shared_out(config: ModelConfig, step: TrainingBytes, spread: Spread, *, averages: bool) -> TrainingBytes:
    """A rank's part, and what it gathers meanwhile: table and head, the block that computes and the next one.

    Where each rank has some heads, it has table and head anyway, and gathers nothing.
    """
    tables = 4 * config.num_table_parameters
    gathered = tables + 8 * block_matrix_parameters(config) if spread.shares_tables else 0
    return dataclasses.replace(
        step,
        weights=spread.part_of(step.weights, tables) + gathered,
        gradients=spread.part_of(step.gradients, tables) + gathered,
        optimizer_state=spread.part_of(step.optimizer_state, (3 if averages else 2) * tables),
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
