"""The model of a recipe before anything is read or trained: its sizes, as far as a plan needs them."""

from __future__ import annotations

from textmill.base.errors import ConfigError
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.stored_model import open_model
from textmill.model.config import ModelConfig
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.presets import model_config
from textmill.train.recipe import Recipe


def planned_model(recipe: Recipe) -> ModelConfig:
    """Tell the sizes of the model, for the longest context of its stages.

    Raises:
        ConfigError: a size is missing or does not fit the others, or the vocabulary's is known only after the text is
            read.
        DataError: the tokenizer or the model to start from is missing or damaged.
    """
    context = max(stage.context for stage in recipe.stages)
    if recipe.model.from_ is not None:
        config = open_model(resolve_model(recipe.model.from_), headers_only=True).config
        if config.max_position_embeddings < context:
            raise ConfigError(
                f"a stage's context is {context}, and {recipe.model.from_} takes {config.max_position_embeddings} "
                "tokens; lower it"
            )
        return config
    return model_config(
        recipe.model,
        vocab_size=planned_vocab_size(recipe),
        context=context,
        rope_theta=recipe.rope_theta_of(recipe.stages[-1]),
        end_of_text=0,
    )


def planned_vocab_size(recipe: Recipe) -> int:
    """Tell the size of the vocabulary of a recipe that trains a tokenizer or has one.

    Raises:
        ConfigError: it is known only after the text is read.
        DataError: the tokenizer is missing or damaged.
    """
    table = recipe.tokenizer
    assert table is not None  # a recipe that starts from no model has one
    if table.path is not None:
        return Tokenizer.load(table.path).vocab_size
    if table.vocab_size is None:
        raise ConfigError(
            "how many characters there are is known when the text is read; to plan, give the size of the vocabulary, "
            "as in --set tokenizer.vocab_size=256"
        )
    return table.vocab_size
