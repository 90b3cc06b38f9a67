"""What a recipe asks for, reckoned before anything runs: stages, steps, tokens and epochs of each source.

Tokens of a source are those that the loader will deal it, by the same ``Mixture``. Nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.data.manifest import read_manifest
from textmill.data.mixture import Mixture
from textmill.model.flops import training_flops_per_token
from textmill.train.corpus import check_whole_shards, is_shard_folder
from textmill.train.dial.derive import derive
from textmill.train.dial.reasons import DerivedValue
from textmill.train.host_memory import HostMemory, host_memory
from textmill.train.planned_model import planned_model, planned_vocab_size
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import SourceTable, StageTable
from textmill.train.schedule import learning_rate_factor
from textmill.train.stage_steps import rows_of, stage_steps

# Weights written with three digits are taken as summing to 1.
WEIGHT_TOLERANCE = 1e-3
# Up to here repeated tokens are worth nearly as much as new ones (arXiv:2305.16264).
WARN_EPOCHS = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcePlan:
    """A source in a stage.

    Attributes:
        name: as in the recipe.
        weight: its share of the stage's tokens.
        num_tokens: tokens of the stage that come from it.
        num_tokens_so_far: tokens of the run that come from it, to the end of the stage.
        unique_tokens: how many it has, or None where nobody says.
        unique_tokens_from: who says it: the manifest of its shards, or the recipe.
        epochs: how often the stage reads it.
        epochs_so_far: how often the run has read it at the end of the stage.
    """

    name: str
    weight: float
    num_tokens: int
    num_tokens_so_far: int
    unique_tokens: int | None
    unique_tokens_from: Literal["shards", "recipe"] | None
    epochs: float | None
    epochs_so_far: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StagePlan:
    """A stage: what it costs and what it reads.

    Attributes:
        name: as in the recipe.
        context: tokens in a row; ``rows`` of them make a step.
        rope_theta: RoPE's base.
        first_step: counted from 0 over the whole run.
        first_lr: learning rate of its first step; ``last_lr`` of its last.
        flops: 6 x parameters for each token, attention left out.
        flops_with_attention: as ``training_flops_per_token`` counts.
        note: what the recipe says of it.
    """

    name: str
    context: int
    rows: int
    rope_theta: float
    first_step: int
    num_steps: int
    num_tokens: int
    first_lr: float
    last_lr: float
    flops: float
    flops_with_attention: float
    sources: tuple[SourcePlan, ...]
    note: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataPlan:
    """A whole run.

    Attributes:
        num_parameters: of the model.
        tokens_per_step: the same in every stage.
        host_memory: what hosts keep of it, where it trains on GPUs.
        derived: what the recipe leaves open, and what it is therefore.
        warnings: what is amiss and not refused, a sentence each.
    """

    num_parameters: int
    tokens_per_step: int
    num_steps: int
    num_tokens: int
    flops: float
    flops_with_attention: float
    stages: tuple[StagePlan, ...]
    host_memory: HostMemory
    derived: tuple[DerivedValue, ...]
    warnings: tuple[str, ...]


def plan_data(recipe: Recipe) -> DataPlan:
    """Reckon with a recipe.

    Raises:
        ConfigError: weights of a stage do not sum to 1, a source is read too often, budget and stages disagree, or the
            recipe leaves open how many steps there are or how large the model is, or is one for tuning.
        DataError: a source's shards or the tokenizer cannot be read.
    """
    if recipe.tune is not None:
        raise ConfigError(
            "a plan reckons with pretraining, and this recipe tunes a model; carry it out with: "
            f"textmill tune {recipe.tune.kind} RECIPE"
        )
    unique = {name: _unique_tokens(name, source) for name, source in recipe.data.sources.items()}
    derived: tuple[DerivedValue, ...] = ()
    if recipe.left_open:
        derivation = derive(
            recipe, vocab_size=planned_vocab_size(recipe), unique_tokens=_all_unique_tokens(unique.values())
        )
        recipe, derived = derivation.recipe, derivation.values
    steps = stage_steps(recipe)
    model = planned_model(recipe)
    read = dict.fromkeys(recipe.data.sources, 0)
    stages: list[StagePlan] = []
    for stage, num_steps in zip(recipe.stages, steps, strict=True):
        first_step = sum(stage.num_steps for stage in stages)
        num_rows = num_steps * rows_of(recipe, stage)
        num_tokens = num_rows * stage.context
        rates = [
            recipe.schedule.peak_lr * learning_rate_factor(recipe.schedule, step, sum(steps))
            for step in (first_step, first_step + num_steps - 1)
        ]
        stages.append(
            StagePlan(
                name=stage.name,
                context=stage.context,
                rows=rows_of(recipe, stage),
                rope_theta=recipe.rope_theta_of(stage),
                first_step=first_step,
                num_steps=num_steps,
                num_tokens=num_tokens,
                first_lr=rates[0],
                last_lr=rates[1],
                flops=6.0 * model.num_parameters * num_tokens,
                flops_with_attention=float(training_flops_per_token(model, stage.context)) * num_tokens,
                sources=_sources(recipe, stage, num_rows, unique, read),
                note=stage.note,
            )
        )
    _refuse_worn_sources(recipe, stages)
    return DataPlan(
        num_parameters=model.num_parameters,
        tokens_per_step=recipe.batch.rows * recipe.stage.context,
        num_steps=sum(steps),
        num_tokens=sum(stage.num_tokens for stage in stages),
        flops=sum(stage.flops for stage in stages),
        flops_with_attention=sum(stage.flops_with_attention for stage in stages),
        stages=tuple(stages),
        host_memory=host_memory(recipe, model),
        derived=derived,
        warnings=tuple(_warnings(recipe, stages)),
    )


_Unique = tuple[int | None, Literal["shards", "recipe"] | None]


def _unique_tokens(name: str, source: SourceTable) -> _Unique:
    if is_shard_folder(source):
        check_whole_shards(name, source)
        return read_manifest(Path(str(source.path))).num_tokens, "shards"
    return source.tokens, None if source.tokens is None else "recipe"


def _all_unique_tokens(sources: Iterable[_Unique]) -> int | None:
    """How many unique tokens there are in all; None where one source does not say."""
    numbers = [number for number, _ in sources]
    return None if None in numbers else sum(number or 0 for number in numbers)


def _sources(
    recipe: Recipe, stage: StageTable, num_rows: int, unique: dict[str, _Unique], read: dict[str, int]
) -> tuple[SourcePlan, ...]:
    """Deal a stage's rows, and add its tokens to those that were ``read`` before."""
    weights = recipe.mixture_of(stage)
    total = sum(weights.values())
    if stage.mixture and abs(total - 1) > WEIGHT_TOLERANCE:
        raise ConfigError(
            f'the weights of the stage "{stage.name}" sum to {total:.6g}, and must sum to 1 (to within '
            f"{WEIGHT_TOLERANCE:g}): {', '.join(f'{name} {weight:g}' for name, weight in weights.items())}. "
            f"Divide each by {total:.6g}, or give the one that is wrong its right weight"
        )
    sources = []
    for name, rows in Mixture(weights).counts(num_rows).items():
        num_tokens = rows * stage.context
        read[name] += num_tokens
        unique_tokens, known_from = unique[name]
        sources.append(
            SourcePlan(
                name=name,
                weight=weights[name] / total,
                num_tokens=num_tokens,
                num_tokens_so_far=read[name],
                unique_tokens=unique_tokens,
                unique_tokens_from=known_from,
                epochs=None if unique_tokens is None else num_tokens / unique_tokens,
                epochs_so_far=None if unique_tokens is None else read[name] / unique_tokens,
            )
        )
    return tuple(sources)


def _last_of_each(stages: list[StagePlan]) -> dict[str, SourcePlan]:
    """Each source as it stands in the last stage that reads it."""
    return {source.name: source for stage in stages for source in stage.sources}


def _refuse_worn_sources(recipe: Recipe, stages: list[StagePlan]) -> None:
    worn = [
        f'"{source.name}" is read {source.epochs_so_far:.2f} times ({units.count(source.num_tokens_so_far)} tokens '
        f"of {units.count(source.unique_tokens or 0)} unique ones), and may be {most:g} times"
        for source in _last_of_each(stages).values()
        if source.epochs_so_far is not None and round(source.epochs_so_far, 2) > (most := _max_epochs(recipe, source))
    ]
    if worn:
        raise ConfigError(
            f"{'; '.join(worn)}. Tokens repeated so often teach little (arXiv:2305.16264). Lower the weight, give "
            "more text, shorten the run, or allow it with data.sources.NAME.max_epochs"
        )


def _max_epochs(recipe: Recipe, source: SourcePlan) -> float:
    return recipe.data.sources[source.name].max_epochs


def _warnings(recipe: Recipe, stages: list[StagePlan]) -> list[str]:
    last = _last_of_each(stages)
    warnings = [
        f'"{source.name}" is read {source.epochs_so_far:.2f} times; from {WARN_EPOCHS:g} on, repeated tokens teach '
        "less than new ones (arXiv:2305.16264)"
        for source in last.values()
        if source.epochs_so_far is not None and round(source.epochs_so_far, 2) >= WARN_EPOCHS
    ]
    for name, source in last.items():
        said = recipe.data.sources[name].tokens
        if source.unique_tokens_from == "shards" and said not in (None, source.unique_tokens):
            warnings.append(
                f'"{name}" has {source.unique_tokens:,} tokens by its shards, which counts, and {said:,} by the recipe'
            )
    unread = [name for name in recipe.data.sources if name not in last]
    if unread:
        warnings.append(f"no stage reads {', '.join(unread)}")
    return warnings
