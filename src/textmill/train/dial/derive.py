"""What a recipe leaves open, derived: each value with its reason. The same on every machine, but for minutes.

The order is that of the reasons: minutes give a size where none is asked for; the size gives the shape; shape and time,
or the size alone, give the length; the length gives batch, learning rate and warmup.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.model.flops import training_flops_per_token
from textmill.train.dial import rules
from textmill.train.dial.minutes import largest_affordable, settled_speed
from textmill.train.dial.reasons import DerivedValue, length_reason, shape_reasons, size_reason, step_reasons
from textmill.train.dial.shape import find_shape, smallest_shape
from textmill.train.presets import PRESETS, model_config
from textmill.train.recipe import SIZE_KEYS, Recipe

Speed = Callable[[Recipe, ModelConfig], float]
"""How many floating-point operations a second whole steps of a recipe do, as ``training_flops_per_token`` counts."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """A recipe that leaves nothing open, and what was derived for it, in the order it was."""

    recipe: Recipe
    values: tuple[DerivedValue, ...]


@dataclass(frozen=True, slots=True)
class _Length:
    """How long a run is: in tokens, or in steps of a batch that is not known yet."""

    num_tokens: float | None = None
    num_steps: int | None = None


def derive(
    recipe: Recipe, *, vocab_size: int, unique_tokens: int | None = None, speed: Speed | None = None
) -> Derivation:
    """Derive what a recipe leaves open; a recipe that leaves nothing open stays as it is.

    Args:
        recipe: it names ``model.params``, or a budget in minutes; the values that it gives are kept.
        vocab_size: of its tokenizer.
        unique_tokens: how many there are to train on, where that is known.
        speed: measures this machine, which a budget in minutes takes.

    Raises:
        ConfigError: the recipe says nothing that a size follows from, nothing comes near to the size it asks for, or
            minutes are to become tokens and nothing measures.
    """
    if not recipe.left_open:
        return Derivation(recipe, ())
    check_size_is_said(recipe)
    minutes = recipe.budget.minutes
    if minutes is None:
        num_parameters, measured = recipe.model.num_parameters or 0, None
    else:
        num_parameters, measured = _measured_size(recipe, vocab_size, speed)
    sized, config = sized_recipe(recipe, num_parameters, vocab_size)
    length = _length(sized, config, unique_tokens, measured)
    values = list(shape_reasons(config, num_parameters))
    if length.num_tokens is not None:
        values.append(length_reason(round(length.num_tokens), config, unique_tokens))
    values += _step_values(sized, config, length)
    left_open = [value for value in values if value.key in recipe.left_open]
    settled = recipe.settle({value.key: value.value for value in left_open})
    if recipe.model.params is None and minutes is not None and measured is not None:
        left_open.insert(0, size_reason(num_parameters, length.num_tokens or 0, minutes, measured))
    return Derivation(settled, tuple(left_open))


def check_size_is_said(recipe: Recipe) -> None:
    """Raise ``ConfigError`` where a recipe leaves the model's size open, and nothing that it says leads to one."""
    if recipe.model.params is None and recipe.budget.minutes is None:
        missing = [key.removeprefix("model.") for key in SIZE_KEYS[:2] if recipe.value_of(key) is None]
        raise ConfigError(
            f"[model] lacks {', '.join(missing)}; give a preset ({', '.join(PRESETS)}), every size, or how many "
            'parameters there are to be, as in params = "30M"'
        )


def sized_recipe(recipe: Recipe, num_parameters: float, vocab_size: int) -> tuple[Recipe, ModelConfig]:
    """Settle the sizes of a recipe's model, and nothing else that it leaves open.

    Raises:
        ConfigError: no shape comes near, or the sizes that the recipe gives do not fit each other.
    """
    sizes = find_shape(num_parameters, vocab_size, _given_sizes(recipe), **recipe.model.parts).sizes()
    sized = recipe.settle({f"model.{name}": size for name, size in sizes.items()})
    return sized, _config(sized, vocab_size)


def _given_sizes(recipe: Recipe) -> dict[str, int]:
    sizes = {key.removeprefix("model."): recipe.value_of(key) for key in SIZE_KEYS}
    return {name: size for name, size in sizes.items() if size is not None}


def _config(recipe: Recipe, vocab_size: int) -> ModelConfig:
    return model_config(
        recipe.model,
        vocab_size=vocab_size,
        context=max(stage.context for stage in recipe.stages),
        rope_theta=recipe.rope_theta_of(recipe.stages[-1]),
        end_of_text=0,
    )


def _measured_size(recipe: Recipe, vocab_size: int, speed: Speed | None) -> tuple[int, float]:
    """Tell the parameters of a run whose budget is minutes, and the operations a second that were measured."""
    assert recipe.budget.minutes is not None
    if speed is None:
        raise ConfigError(
            f"the budget is {recipe.budget.minutes:g} minutes, and what they allow is measured when the training "
            "starts; to plan, give it in steps or tokens, and the model's size, as in --set budget.steps=1000 --set "
            "model.params=30M"
        )
    seconds, asked = 60 * recipe.budget.minutes, recipe.model.num_parameters

    def sized(num_parameters: float) -> tuple[Recipe, ModelConfig]:
        return sized_recipe(recipe, num_parameters, vocab_size)

    def one_token_each(num_parameters: float) -> float:
        """Operations for one token a parameter."""
        try:
            _, config = sized(num_parameters)
        except ConfigError:
            return math.inf  # no such model, with the sizes that are given
        return config.num_parameters * float(training_flops_per_token(config, recipe.stage.context))

    def size_for(flops: float) -> float:
        if asked is not None:
            return asked
        smallest = smallest_shape(vocab_size, _given_sizes(recipe), **recipe.model.parts).num_parameters
        return largest_affordable(flops / rules.best_tokens_per_parameter(flops), one_token_each, smallest)

    flops_per_s = settled_speed(seconds, lambda flops: _measured_speed(*sized(size_for(flops)), flops, speed))
    return round(size_for(flops_per_s * seconds)), flops_per_s


def _measured_speed(recipe: Recipe, config: ModelConfig, flops: float, speed: Speed) -> float:
    """Measure with the batch that a run of so many operations has."""
    length = _Length(num_tokens=flops / training_flops_per_token(config, recipe.stage.context))
    values = {value.key: value.value for value in _step_values(recipe, config, length)}
    return speed(recipe.settle({key: value for key, value in values.items() if key in recipe.left_open}), config)


def _length(recipe: Recipe, config: ModelConfig, unique_tokens: int | None, flops_per_s: float | None) -> _Length:
    """Tell how long a run is: as the recipe says, or else as long as is best for the model's size."""
    budget = recipe.budget
    if budget.minutes is not None:
        assert flops_per_s is not None
        flops = 60 * budget.minutes * flops_per_s
        return _Length(num_tokens=flops / training_flops_per_token(config, recipe.stage.context))
    if budget.steps is not None:
        return _Length(num_steps=budget.steps)
    if budget.tokens is not None:
        return _Length(num_tokens=budget.tokens)
    if not recipe.has_no_length:
        return _Length(num_tokens=sum(stage.tokens or 0 for stage in recipe.stages))
    wanted = rules.TOKENS_PER_PARAMETER * config.num_parameters
    most = math.inf if unique_tokens is None else rules.MAX_EPOCHS * unique_tokens
    return _Length(num_tokens=min(wanted, most))


def _step_values(recipe: Recipe, config: ModelConfig, length: _Length) -> tuple[DerivedValue, ...]:
    """Batch, learning rate and warmup of a run so long; of what the recipe gives, too."""
    context = recipe.stage.context
    rows = _rows(recipe, length)
    num_tokens = length.num_tokens
    if num_tokens is None:
        num_tokens = (length.num_steps or 1) * rows * context
    flops = num_tokens * training_flops_per_token(config, context)
    return step_reasons(
        rows=rows,
        context=context,
        num_tokens=num_tokens,
        peak_lr=rules.peak_lr(flops),
        flops=flops,
        num_steps=max(1, round(num_tokens / (rows * context))),
    )


def _rows(recipe: Recipe, length: _Length) -> int:
    """As many rows as come next to the best batch: a power of two of what every stage and ``micro_rows`` can cut."""
    if "batch.rows" not in recipe.left_open:
        return recipe.batch.rows
    context = recipe.stage.context
    unit = math.lcm(
        recipe.batch.micro_rows or 1, *(stage.context // math.gcd(stage.context, context) for stage in recipe.stages)
    )
    if length.num_tokens is None:
        wanted = rules.batch_tokens_of_steps(length.num_steps or 1)
    else:
        wanted = rules.batch_tokens(length.num_tokens)
    return unit * 2 ** max(0, round(math.log2(wanted / (context * unit))))
