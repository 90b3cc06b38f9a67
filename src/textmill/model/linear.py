"""A matrix product without bias."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Linear(nn.Module):
    """``x W^T`` with W [out, in]; W follows the dtype of x, so f32 weights train through bf16 products.

    The weights are left empty: ``init_weights`` or a checkpoint fills them, and making a model draws from no global
    random state.
    """

    def __init__(self, num_in: int, num_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out, num_in))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply the last axis: [..., in] to [..., out]."""
        return functional.linear(x, self.weight.to(x.dtype))
