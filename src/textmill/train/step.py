"""One optimizer step: gradients of a batch in micro-batches, the norm clipped, the parameters moved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from textmill.base.errors import TextmillError
from textmill.model.llama import Llama
from textmill.train.optim import Optimizers
from textmill.train.precision import Precision, compute_dtype


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step tells: mean loss in nats a token, and the norm of the gradient before it was clipped."""

    loss: float
    grad_norm: float


def accumulate(
    model: Llama, inputs: np.ndarray, targets: np.ndarray, *, micro_rows: int, precision: Precision
) -> float:
    """Add the gradient of a batch's mean loss to the parameters.

    Every micro-batch is divided by the tokens of the whole batch, so that the sum is the mean whatever the cut.

    Args:
        inputs: int64[rows, context]; targets: the same shape.

    Returns:
        the mean loss in nats a token.
    """
    total = 0.0
    for start in range(0, len(inputs), micro_rows):
        ids_BT = torch.from_numpy(np.ascontiguousarray(inputs[start : start + micro_rows]))
        targets_N = torch.from_numpy(np.ascontiguousarray(targets[start : start + micro_rows])).flatten()
        logits_NV = model(ids_BT, dtype=compute_dtype(precision)).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits_NV.float(), targets_N, reduction="sum") / targets.size
        loss.backward()
        total += loss.item()
    return total


def take_step(
    model: Llama,
    optimizers: Optimizers,
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    micro_rows: int,
    precision: Precision,
    clip_grad_norm: float,
    factor: float,
) -> StepResult:
    """Take one step at ``factor`` times the peak learning rate.

    Raises:
        TextmillError: the loss or the gradient is not finite; the parameters are then as they were.
    """
    loss = accumulate(model, inputs, targets, micro_rows=micro_rows, precision=precision)
    grad_norm = torch.nn.utils.clip_grad_norm_(model.parameters(), clip_grad_norm).item()
    if not (np.isfinite(loss) and np.isfinite(grad_norm)):
        raise TextmillError(
            f"the loss is {loss} and the gradient's norm {grad_norm}: a step with them would spoil the model, so the "
            "run stops before it. Lower schedule.peak_lr, or lengthen schedule.warmup_steps, and start again"
        )
    optimizers.step(factor)
    return StepResult(loss, grad_norm)
