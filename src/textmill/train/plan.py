"""What a run will do, decided once before its first step and read back on resume.

The recipe says what is wanted; the plan says what that means on this machine: the model's sizes, the precision that is
faster, how many rows go through at once, and how many steps the minutes allow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from textmill.model.config import ModelConfig
from textmill.model.llama import Llama
from textmill.train.optim import Optimizers
from textmill.train.precision import Precision, median_time_s
from textmill.train.recipe import Recipe
from textmill.train.step import take_step

# Logits of a micro-batch in f32 and their gradient are the largest thing a small model holds; this bounds each.
MAX_LOGITS_BYTES = 256 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The decisions of a run.

    Attributes:
        model: the model's sizes.
        num_steps: optimizer steps of the whole run.
        rows: rows of a step; ``micro_rows`` of them go through the model at once.
        context: tokens in a row.
        precision: of activations and products.
        threads: threads of torch; results are exact for one number of them.
        step_time_s: what a step took when it was measured, or None where nothing was.
    """

    model: ModelConfig
    num_steps: int
    rows: int
    micro_rows: int
    context: int
    precision: Literal["f32", "bf16"]
    threads: int
    step_time_s: float | None

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step."""
        return self.rows * self.context


def make_plan(recipe: Recipe, config: ModelConfig, say: Callable[[str], None] | None = None) -> Plan:
    """Decide a run, timing a few steps on a throw-away model where the recipe leaves something to the machine.

    Args:
        recipe: what is wanted.
        config: the model's sizes.
        say: told each decision with its reason.
    """
    say = say or (lambda message: None)
    threads = torch.get_num_threads() if recipe.run.threads is None else recipe.run.threads
    torch.set_num_threads(threads)
    rows, context = recipe.batch.rows, recipe.stage.context
    micro_rows = recipe.batch.micro_rows or _micro_rows(rows, context, config.vocab_size)
    times: dict[Precision, float] = {}
    candidates: tuple[Precision, ...] = ("f32", "bf16") if recipe.run.precision == "auto" else (recipe.run.precision,)
    minutes = recipe.budget.minutes
    if len(candidates) > 1 or minutes is not None:
        for precision in candidates:
            times[precision] = _step_time_s(recipe, config, micro_rows, precision)
    precision = min(candidates, key=lambda name: times.get(name, 0.0))
    if len(times) > 1:
        other = "f32" if precision == "bf16" else "bf16"
        say(f"precision {precision}: a step takes {times[precision]:.2f} s, and {times[other]:.2f} s in {other}")
    num_steps = _num_steps(recipe, rows * context, times.get(precision))
    return Plan(
        model=config,
        num_steps=num_steps,
        rows=rows,
        micro_rows=micro_rows,
        context=context,
        precision=precision,
        threads=threads,
        step_time_s=times.get(precision),
    )


def _micro_rows(rows: int, context: int, vocab_size: int) -> int:
    fitting = max(1, MAX_LOGITS_BYTES // (4 * context * vocab_size))
    return max(divisor for divisor in range(1, rows + 1) if rows % divisor == 0 and divisor <= fitting)


def _num_steps(recipe: Recipe, tokens_per_step: int, step_time_s: float | None) -> int:
    budget = recipe.budget
    if budget.steps is not None:
        return budget.steps
    if budget.minutes is not None:
        assert step_time_s is not None
        return max(1, round(budget.minutes * 60 / step_time_s))
    tokens = budget.tokens if budget.tokens is not None else recipe.stage.tokens
    assert tokens is not None
    return max(1, round(tokens / tokens_per_step))


def _step_time_s(recipe: Recipe, config: ModelConfig, micro_rows: int, precision: Precision) -> float:
    """Time whole steps of a model that is thrown away, on ids that mean nothing."""
    model = Llama(config)
    model.init_weights(0)
    optimizers = Optimizers(model, recipe.optimizer, recipe.schedule.peak_lr)
    rows, context = recipe.batch.rows, recipe.stage.context
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (rows, context + 1))

    def step() -> None:
        take_step(
            model,
            optimizers,
            ids[:, :-1],
            ids[:, 1:],
            micro_rows=micro_rows,
            precision=precision,
            clip_grad_norm=recipe.optimizer.clip_grad_norm,
            factor=1e-6,
        )

    return median_time_s(step, min_s=1.0)
