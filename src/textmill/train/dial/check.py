"""What a recipe asks for and cannot be, found before hours go into reading text."""

from __future__ import annotations

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.train.dial.derive import check_size_is_said, sized_recipe
from textmill.train.memory import choose_memory
from textmill.train.planned_model import planned_vocab_size
from textmill.train.recipe import Recipe


def check_dial(recipe: Recipe) -> None:
    """Refuse a size that cannot be: none is said, no shape comes near it, or its training does not fit into memory.

    Where the vocabulary is known only after the text is read, or the size only after measuring, that is left for then.

    Raises:
        ConfigError: it cannot be.
        DataError: the tokenizer is missing or damaged.
    """
    check_size_is_said(recipe)
    num_parameters = recipe.model.num_parameters
    table = recipe.tokenizer
    if num_parameters is None or table is None or (table.path is None and table.vocab_size is None):
        return
    sized, config = sized_recipe(recipe, num_parameters, planned_vocab_size(recipe))
    _check_memory(sized, config)


def _check_memory(recipe: Recipe, config: ModelConfig) -> None:
    """Rows are not known yet, and matter little to the least that a training takes: one row at once."""
    try:
        choose_memory(recipe, config, lambda message: None)
    except ConfigError as error:
        raise ConfigError(
            f"a model of {config.num_parameters:,} parameters is too large for this machine: {error}"
        ) from error
