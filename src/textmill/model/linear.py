"""A matrix product, with a bias where the model has one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Linear(nn.Module):
    """``x W^T + b`` with W [out, in]; both follow the dtype of x, so f32 weights train through bf16 products.

    The parameters are left empty: ``init_weights`` or a checkpoint fills them, and making a model draws from no global
    random state.
    """

    def __init__(self, num_in: int, num_out: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out, num_in))
        self.bias = nn.Parameter(torch.empty(num_out)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply the last axis: [..., in] to [..., out]."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.linear(x, self.weight.to(x.dtype), bias)
