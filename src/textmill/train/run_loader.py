"""The loader of a run, made from its plan and decisions alone: for the training itself, and for looking into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from textmill.base.errors import ConfigError
from textmill.data.fill_in_the_middle import FillInTheMiddle
from textmill.data.shards import ShardSet
from textmill.data.stages import DataStage, StagedLoader
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.interventions import Interventions
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import DataTable, parse_range
from textmill.train.run import Run
from textmill.train.stage_steps import rows_of

PACKING = "packing"
_SENTINELS = {"prefix_id": "<|fim_prefix|>", "suffix_id": "<|fim_suffix|>", "middle_id": "<|fim_middle|>"}


def make_loader(
    run: Run, interventions: Interventions, shards: Mapping[str, ShardSet], tokenizer: Tokenizer
) -> StagedLoader:
    """Make the loader whose batch 0 is that of a run's first step.

    Args:
        run: its recipe and plan; packing tables go into its folder where they cannot be kept beside the shards.
        interventions: batches that were passed over.
        shards: by source.
        tokenizer: knows the ids for filling in the middle.

    Raises:
        ConfigError: the mixture names a source that has no shards, or the tokenizer lacks ids to fill in the middle.
        DataError: a source has fewer tokens than one row.
    """
    data = run.recipe.data
    fill_in_the_middle = _fill_in_the_middle(data, tokenizer)
    stages = [
        DataStage(
            num_steps=stage.num_steps,
            mixture=stage.mixture,
            rows=stage.rows,
            context=stage.context,
            packing=data.packing,
            document_masks=data.document_masks,
            fill_in_the_middle=fill_in_the_middle,
        )
        for stage in run.plan.stages
    ]
    return StagedLoader(
        shards,
        stages,
        seed=run.recipe.run.seed,
        skip_steps=[*asked_ranges(run.recipe), *interventions.ranges],
        cache=run.folder / PACKING,
    )


def asked_ranges(recipe: Recipe) -> Sequence[tuple[int, int]]:
    """The batches that the recipe says to pass over."""
    return [parse_range(text) for text in recipe.data.skip_steps]


def check_contexts(folder: Path, recipe: Recipe, shards: Mapping[str, ShardSet], tokenizer: Tokenizer) -> None:
    """Refuse a context longer than the data, before a model of that context is timed.

    Raises:
        ConfigError, DataError: as ``make_loader``.
    """
    fill_in_the_middle = _fill_in_the_middle(recipe.data, tokenizer)
    stages = [
        DataStage(
            num_steps=1,
            mixture=recipe.mixture_of(stage),
            rows=rows_of(recipe, stage),
            context=stage.context,
            packing=recipe.data.packing,
            document_masks=recipe.data.document_masks,
            fill_in_the_middle=fill_in_the_middle,
        )
        for stage in recipe.stages
    ]
    StagedLoader(shards, stages, seed=recipe.run.seed, cache=folder / PACKING)


def _fill_in_the_middle(table: DataTable, tokenizer: Tokenizer) -> FillInTheMiddle | None:
    if table.fim_rate == 0:
        return None
    missing = [token for token in _SENTINELS.values() if token not in tokenizer.special_tokens]
    if missing:
        raise ConfigError(
            f"data.fim_rate is {table.fim_rate:g}, and the tokenizer has no {', '.join(missing)}; train one that does "
            'with textmill tokenizer train (--special-token "<|fim_prefix|>" and so on), or leave fim_rate out'
        )
    ids = {name: tokenizer.special_tokens[token] for name, token in _SENTINELS.items()}
    return FillInTheMiddle(rate=table.fim_rate, **ids)
