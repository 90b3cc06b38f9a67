"""A table of tokens: the input table, and value embeddings."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Embedding(nn.Module):
    """A row of the table [V, D] for each id."""

    def __init__(self, num_rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, width))

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Look up [B, T] ids as [B, T, D]."""
        return functional.embedding(ids_BT, self.weight)
