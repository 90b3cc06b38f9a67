"""One optimizer step up to its gradient: the batch in micro-batches, all ranks' parts summed, the norm clipped."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.data.loader import Batch
from textmill.model.llama import Llama
from textmill.train.layout import Layout
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
    layout: Layout | None = None,
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
        ranks: the processes that share the batch, where ``layout`` does not tell.
        layout: how ``model`` lies on them; whole on each unless given.

    Returns:
        the mean loss in nats a token; 0 where nothing in the batch is a target.
    """
    layout = Layout(model, ranks) if layout is None else layout
    readers, device = layout.readers, layout.device
    num_targets = max(1, readers.sum_count(int(batch.loss_mask.sum())))
    num_rows = len(batch.inputs)  # the same on every rank, or those that gather weights on the way would wait for ever
    total = torch.zeros((), dtype=torch.float64, device=device)
    for start in range(0, num_rows, micro_rows):
        rows = slice(start, start + micro_rows)
        with layout.micro_batch(is_last=start + micro_rows >= num_rows):
            loss = layout.nats(
                _tensor(batch.inputs[rows], device),
                _tensor(batch.targets[rows], device),
                dtype=dtype,
                positions_BT=None if batch.positions is None else _tensor(batch.positions[rows], device),
                segments_BT=None if batch.segments is None else _tensor(batch.segments[rows], device),
                remat=remat,
                z_loss=z_loss,
            )
            loss = loss / num_targets
            loss.backward()
        total += loss.detach()
    layout.finish_gradients()
    return readers.sum_loss(total.item())


def clip(model: Llama, max_norm: float) -> float:
    """Scale the gradient down to a norm; returns the norm that it had."""
    return torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm).item()


def drop_gradients(model: Llama) -> None:
    """Forget the gradient: the step is not taken."""
    for parameter in model.parameters():
        parameter.grad = None


def _tensor(array: NDArray[np.generic], device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device, non_blocking=True)
