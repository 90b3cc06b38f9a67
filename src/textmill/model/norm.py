"""RMSNorm: scale to unit root mean square, then by a learned weight (arXiv:1910.07467 §3)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """Normalise the last axis; the mean square is taken in f32 whatever the activations are in."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Return ``x / sqrt(mean(x²) + eps) * weight`` in the dtype of ``x``."""
        return functional.rms_norm(x_BTD.float(), self.weight.shape, self.weight.float(), self.eps).to(x_BTD.dtype)
