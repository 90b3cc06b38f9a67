"""One optimizer step up to its gradient: the batch in micro-batches, all ranks' parts summed, the norm clipped."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.data.loader import Batch
from textmill.model.llama import Llama
from textmill.model.loss import summed_nats
from textmill.train.ranks import ALONE, Ranks

Remat = Literal["none", "llama", "full"]


def accumulate(
    model: Llama,
    batch: Batch,
    *,
    micro_rows: int,
    dtype: torch.dtype,
    remat: Remat = "none",
    z_loss: float = 0.0,
    ranks: Ranks = ALONE,
) -> float:
    """Add the gradient of a batch's mean loss to the parameters.

    Every micro-batch of every rank is divided by the number of targets of the whole batch, so that the sum is the mean
    whatever the cut. Padding is no target.

    Args:
        model: its parameters have no gradient yet.
        batch: this rank's rows.
        micro_rows: rows that go through the model at once.
        dtype: of activations and products.
        remat: what is recomputed in the backward pass.
        z_loss: as in ``summed_nats``; it is in the gradient alone.
        ranks: the processes that share the batch.

    Returns:
        the mean loss in nats a token; 0 where nothing in the batch is a target.
    """
    num_targets = max(1, ranks.sum_count(int(batch.loss_mask.sum())))
    total = 0.0
    for start in range(0, len(batch.inputs), micro_rows):
        rows = slice(start, start + micro_rows)
        x_BTD = model.backbone(
            _tensor(batch.inputs[rows]),
            dtype=dtype,
            positions_BT=None if batch.positions is None else _tensor(batch.positions[rows]),
            segments_BT=None if batch.segments is None else _tensor(batch.segments[rows]),
            remat=remat,
        )
        loss = summed_nats(model, x_BTD, _tensor(batch.targets[rows]), z_loss) / num_targets
        loss.backward()
        total += loss.item()
    ranks.sum_gradients(model)
    return ranks.sum_loss(total)


def clip(model: Llama, max_norm: float) -> float:
    """Scale the gradient down to a norm; returns the norm that it had."""
    return torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()


def drop_gradients(model: Llama) -> None:
    """Forget the gradient: the step is not taken."""
    for parameter in model.parameters():
        parameter.grad = None


def _tensor(array: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
