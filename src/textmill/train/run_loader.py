"""The loader of a run, made from its recipe alone: for the training itself, and for looking into it afterwards."""

from __future__ import annotations

from collections.abc import Mapping

from textmill.data.loader import BatchLoader
from textmill.data.shards import ShardSet
from textmill.train.recipe import Recipe


def make_loader(recipe: Recipe, shards: Mapping[str, ShardSet]) -> BatchLoader:
    """Make the loader whose batch 0 is that of a run's first step.

    Raises:
        ConfigError: the mixture names a source that has no shards.
        DataError: a source has fewer tokens than one row.
    """
    return BatchLoader(
        shards,
        recipe.mixture,
        rows=recipe.batch.rows,
        context=recipe.stage.context,
        seed=recipe.run.seed,
    )
