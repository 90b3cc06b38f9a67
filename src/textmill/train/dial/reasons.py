"""Derived values with their reasons, as they are told and kept."""

from __future__ import annotations

from dataclasses import dataclass

from textmill.base import units
from textmill.model.config import ModelConfig
from textmill.train.dial import rules
from textmill.train.dial.shape import MAX_TABLES, WIDTH_PER_LAYER, WIDTH_STEP, usual_feed_forward

_TOO_FEW = 0.9


@dataclass(frozen=True, slots=True)
class DerivedValue:
    """A value that a recipe left open: its key there, and why it is what it is."""

    key: str
    value: int | float | bool
    reason: str

    def __str__(self) -> str:
        value = str(self.value).lower() if isinstance(self.value, bool) else f"{self.value:,}"
        return f"{self.key} = {value}: {self.reason}"


def size_reason(num_parameters: int, num_tokens: float, minutes: float, flops_per_s: float) -> DerivedValue:
    """The size that minutes are right for, or the smallest there is where they are too few."""
    flops = 60 * minutes * flops_per_s
    best, there_are = rules.best_tokens_per_parameter(flops), num_tokens / num_parameters
    reason = (
        f"{minutes:g} minutes at {flops_per_s / 1e9:,.3g} GFLOP/s, as measured here, are {there_are:.2g} tokens for "
        f"each; {best:.2g} is the aim ({rules.TOKENS_PER_PARAMETER} from 6e18 operations on, arXiv:2203.15556)"
    )
    if there_are < _TOO_FEW * best:
        reason += ", and no smaller model is possible with this vocabulary and the sizes that are given"
    return DerivedValue("model.params", num_parameters, reason)


def shape_reasons(config: ModelConfig, num_parameters: int) -> tuple[DerivedValue, ...]:
    """The sizes of a model that was to have ``num_parameters``."""
    serves = config.num_attention_heads // config.num_key_value_heads
    shared = "a head of its own" if serves == 1 else f"one for {serves}, grouped-query attention"
    tables = 2 * config.vocab_size * config.hidden_size / num_parameters
    return (
        DerivedValue(
            "model.hidden_size",
            config.hidden_size,
            f"a multiple of {WIDTH_STEP}, about {WIDTH_PER_LAYER} times the depth (arXiv:2001.08361)",
        ),
        DerivedValue(
            "model.num_hidden_layers",
            config.num_hidden_layers,
            f"{units.count(config.num_parameters)} parameters in all, {units.count(num_parameters)} asked for",
        ),
        DerivedValue(
            "model.num_attention_heads", config.num_attention_heads, f"of {config.head_dim} each, to fill the width"
        ),
        DerivedValue("model.num_key_value_heads", config.num_key_value_heads, f"{shared} (arXiv:2305.13245)"),
        DerivedValue(
            "model.head_dim", config.head_dim, "64 up to a width of 2,048 and 128 beyond, as far as that divides it"
        ),
        DerivedValue(
            "model.intermediate_size",
            config.intermediate_size,
            f"8/3 of the width (arXiv:2002.05202), up to a multiple of {WIDTH_STEP}"
            if config.intermediate_size == usual_feed_forward(config.hidden_size)
            else f"a multiple of {WIDTH_STEP} that makes up the parameters at the depth that is given",
        ),
        DerivedValue(
            "model.tie_word_embeddings",
            config.tie_word_embeddings,
            f"two tables of {config.vocab_size:,} tokens would be {100 * tables:.0f} % of the parameters; from "
            f"{100 * MAX_TABLES:.0f} % on there is one",
        ),
    )


def length_reason(num_tokens: int, config: ModelConfig, unique_tokens: int | None) -> DerivedValue:
    """The length of a run whose recipe gives none."""
    best = rules.TOKENS_PER_PARAMETER * config.num_parameters
    reason = f"{rules.TOKENS_PER_PARAMETER} for each parameter (arXiv:2203.15556)"
    if num_tokens < best and unique_tokens is not None:
        reason = (
            f"{rules.MAX_EPOCHS} times the {units.count(unique_tokens)} there are; more repeats teach little "
            f"(arXiv:2305.16264), though {rules.TOKENS_PER_PARAMETER} for each parameter would be {units.count(best)}"
        )
    return DerivedValue("budget.tokens", num_tokens, reason)


def step_reasons(
    *, rows: int, context: int, num_tokens: float, peak_lr: float, flops: float, num_steps: int
) -> tuple[DerivedValue, ...]:
    """Batch, learning rate and warmup of a run of so many tokens, operations and steps."""
    return (
        DerivedValue(
            "batch.rows",
            rows,
            f"{rows * context:,} tokens a step: the best batch grows with the run's {units.count(num_tokens)} tokens "
            f"to the power of {rules.BATCH_EXPONENT} (arXiv:2505.13738), from SmolLM2's 1.05M at 2.1T",
        ),
        DerivedValue(
            "schedule.peak_lr",
            peak_lr,
            f"0.3118 x C^-0.125 for the run's C = {flops:.2g} operations (arXiv:2401.02954), {rules.MAX_LR:g} at most",
        ),
        DerivedValue(
            "schedule.warmup_steps",
            rules.warmup_steps(num_steps),
            f"{100 * rules.WARMUP_FRACTION:.0f} % of about {num_steps:,} steps, {rules.MAX_WARMUP_STEPS:,} at most",
        ),
    )
