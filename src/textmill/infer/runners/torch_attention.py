"""What the torch runner asks of a way to attend: ``torch_sdpa`` works on every device, ``torch_varlen`` on CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch

from textmill.infer.runners.torch_batch import Batch

# (layer, window, queries [T, H, Q]) to what they gather, [T, H, Q].
Attend: TypeAlias = Callable[[int, int | None, torch.Tensor], torch.Tensor]


class Attention(Protocol):
    """A way to attend over pages. A layer's new keys and values are on their pages before it attends.

    Attributes:
        name: for messages and tables.
        short_max: texts with up to so many new tokens come first in a batch, because they are computed together.
    """

    name: str
    short_max: int

    def begin(self, batch: Batch) -> Attend:
        """Prepare what the layers of one forward pass share."""
        ...
