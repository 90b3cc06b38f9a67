"""What published rules say of a run's length, batch, learning rate and warmup. Pure arithmetic."""

from __future__ import annotations

import math

TOKENS_PER_PARAMETER = 20
"""Of a model that uses its compute best (arXiv:2203.15556 §3)."""

CHINCHILLA_FLOPS = 6e18
"""From here on that was measured there."""

# Below, fewer are taken: in 1.5e12 operations 370k parameters with 1.6 tokens each did better than 900k with 0.26
# (docs/benchmarks/log.md). The exponent leads from there to the paper's range; nothing between was measured.
_BELOW_EXPONENT = 0.168

MAX_EPOCHS = 4
"""Up to here repeated tokens are worth nearly as much as new ones (arXiv:2305.16264)."""

# The best batch grows with the tokens of the run, and not with the model (arXiv:2505.13738). The published run of
# SmolLM2-135M fixes the factor: 2^20 tokens a step of 2.1e12 (arXiv:2502.02737). At the 1.7M tokens of the demo that
# is 4,800, where 4,096 were chosen by measuring (docs/benchmarks/log.md).
BATCH_EXPONENT = 0.383
_BATCH_TOKENS, _BATCH_AT_TOKENS = 2**20, 2.1e12

# arXiv:2401.02954 §3.1, fitted from 1e17 to 2e19 operations, which there leave the head out: a few per cent of the
# rate. Below, it goes on to rise; the highest that was tried here, at 2e13 operations, did as well as half of it
# (docs/benchmarks/log.md).
_LR_FACTOR, _LR_EXPONENT = 0.3118, -0.125
MAX_LR = 6e-3

WARMUP_FRACTION, MAX_WARMUP_STEPS = 0.02, 2000


def best_tokens_per_parameter(flops: float) -> float:
    """Tokens for each parameter of the model that makes best use of so many floating-point operations."""
    return TOKENS_PER_PARAMETER * min(1.0, flops / CHINCHILLA_FLOPS) ** _BELOW_EXPONENT


def batch_tokens(num_tokens: float) -> float:
    """Tokens of a step, for a run of so many tokens."""
    return _BATCH_TOKENS * (num_tokens / _BATCH_AT_TOKENS) ** BATCH_EXPONENT


def batch_tokens_of_steps(num_steps: int) -> float:
    """Tokens of a step, for a run of so many steps: what ``batch_tokens`` gives for the tokens these steps have."""
    return (_BATCH_TOKENS * (num_steps / _BATCH_AT_TOKENS) ** BATCH_EXPONENT) ** (1 / (1 - BATCH_EXPONENT))


def peak_lr(flops: float) -> float:
    """AdamW's learning rate at its peak, for a run of so many floating-point operations, in three digits."""
    return float(f"{min(MAX_LR, _LR_FACTOR * flops**_LR_EXPONENT):.3g}")


def warmup_steps(num_steps: float) -> int:
    """Steps of linear warmup: 2 % of the run, and no more than the 2,000 of LLaMA and SmolLM2."""
    return min(MAX_WARMUP_STEPS, math.ceil(WARMUP_FRACTION * num_steps))
