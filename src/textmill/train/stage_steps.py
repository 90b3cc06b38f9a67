"""How many steps each stage of a recipe has: from the stages' tokens, the budget, or both where they agree."""

from __future__ import annotations

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import StageTable


def rows_of(recipe: Recipe, stage: StageTable) -> int:
    """Rows of a step of a stage: as many as make the tokens of the first stage's ``batch.rows``.

    Raises:
        ConfigError: these tokens cannot be cut into rows of the stage's context.
    """
    tokens_per_step = recipe.batch.rows * recipe.stage.context
    if tokens_per_step % stage.context:
        raise ConfigError(
            f"a step has {tokens_per_step:,} tokens ({recipe.batch.rows:,} rows of {recipe.stage.context:,}), which "
            f'cannot be cut into rows of {stage.context:,}, the context of the stage "{stage.name}"; choose batch.rows '
            "so that it can"
        )
    return tokens_per_step // stage.context


def check_readers(recipe: Recipe, num_readers: int) -> None:
    """Refuse rows of a step that cannot be shared out evenly among so many processes.

    Raises:
        ConfigError: they cannot, in one of the stages.
    """
    for stage in recipe.stages:
        rows = rows_of(recipe, stage)
        if rows % num_readers:
            raise ConfigError(
                f'a step of the stage "{stage.name}" has {rows:,} {units.plural(rows, "row")}, which {num_readers:,} '
                "processes cannot share out evenly; choose batch.rows so that they can, or start another number of them"
            )


def stage_steps(recipe: Recipe, step_time_s: float | None = None) -> list[int]:
    """Tell the steps of each stage.

    Args:
        recipe: its stages and its budget.
        step_time_s: what a step takes, where that was measured: minutes become steps by it.

    A stage's tokens are rounded to whole steps. Minutes scale stages that all have tokens. One stage may
    leave them out, and takes what the others leave of the budget. Where all stages have tokens and there is a budget,
    the two must agree to within a step a stage, and the last stage takes the difference.

    Raises:
        ConfigError: the budget is in minutes that nobody measured, several stages have no tokens, or budget
            and stages disagree.
    """
    tokens_per_step = recipe.batch.rows * recipe.stage.context
    total = _budget_steps(recipe, tokens_per_step, step_time_s)
    steps = [None if s.tokens is None else max(1, round(s.tokens / tokens_per_step)) for s in recipe.stages]
    given = [number for number in steps if number is not None]
    if total is None:
        return given  # a recipe without a budget has tokens in every stage
    if recipe.budget.minutes is not None and len(given) == len(steps):
        return _scaled(given, total)
    open_stages = [index for index, number in enumerate(steps) if number is None]
    if len(open_stages) > 1:
        names = ", ".join(f'"{recipe.stages[index].name}"' for index in open_stages)
        raise ConfigError(f"the stages {names} have no tokens, and one stage at most takes what is left of the budget")
    rest = total - sum(given)
    if open_stages:
        if rest < 1:
            raise ConfigError(
                f"the budget is {total:,} steps, and the stages with tokens take {sum(given):,}: nothing is left for "
                f'"{recipe.stages[open_stages[0]].name}"; raise the budget, or shorten a stage'
            )
        return [rest if number is None else number for number in steps]
    if abs(rest) > len(given) or given[-1] + rest < 1:
        raise ConfigError(
            f"the budget is {total:,} steps, and the stages' tokens are {sum(given):,} steps of {tokens_per_step:,} "
            "tokens; leave [budget] out, or the tokens of one stage"
        )
    return [*given[:-1], given[-1] + rest]


def _scaled(steps: list[int], total: int) -> list[int]:
    """Stretch or shorten stages alike, so that they have ``total`` steps; each keeps one at least."""
    ends = [round(total * sum(steps[: index + 1]) / sum(steps)) for index in range(len(steps))]
    return [max(1, end - begin) for begin, end in zip([0, *ends], ends, strict=False)]


def _budget_steps(recipe: Recipe, tokens_per_step: int, step_time_s: float | None) -> int | None:
    budget = recipe.budget
    if budget.minutes is not None and step_time_s is not None:
        return max(len(recipe.stages), round(budget.minutes * 60 / step_time_s))
    if budget.minutes is not None:
        raise ConfigError(
            f"the budget is {budget.minutes:g} minutes, and what they allow is measured when the training starts; to "
            "plan, give it in steps or tokens, as in --set budget.steps=1000"
        )
    if budget.tokens is not None:
        return max(1, round(budget.tokens / tokens_per_step))
    return budget.steps
