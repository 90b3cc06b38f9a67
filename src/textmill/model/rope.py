"""RoPE: turn each pair of a head's values by an angle that grows with the position (arXiv:2104.09864 §3.2.2).

The pair of value i is value i + Q/2, the halves being rotated against each other, as in Hugging Face's checkpoints;
files with interleaved pairs are permuted where they are read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import rope_frequencies


class Rotation(NamedTuple):
    """Cosines and sines of one forward pass, [T, Q/2] in f32; all layers that rotate share them."""

    cos: torch.Tensor
    sin: torch.Tensor


class Rope:
    """The rotations of a model, at any positions."""

    def __init__(self, config: ModelConfig) -> None:
        self.head_dim = config.head_dim
        self.theta = config.rope_theta
        self.factor = 1.0
        self.scaled: list[float] | None = None
        if config.rope_scaling is not None:
            frequencies, self.factor = rope_frequencies(config)
            self.scaled = frequencies.tolist()

    def rotation(self, start: int, num_positions: int, device: torch.device) -> Rotation:
        """Angles of the positions from ``start`` on: position * theta^(-2i/Q) for pair i, in f32, or as scaled.

        Nothing is kept between calls: for 2,048 positions this is a millionth of the arithmetic of a 100 M parameter
        forward pass, and a table that is not there cannot be stale.
        """
        positions = torch.arange(start, start + num_positions, dtype=torch.float32, device=device)
        angles = torch.outer(positions, self._frequencies(device))
        if self.factor == 1.0:
            return Rotation(angles.cos(), angles.sin())
        return Rotation(angles.cos() * self.factor, angles.sin() * self.factor)

    def _frequencies(self, device: torch.device) -> torch.Tensor:
        if self.scaled is not None:
            return torch.tensor(self.scaled, dtype=torch.float32, device=device)
        # torch's own powers, off by at most an ulp from those of ``rope_frequencies``: runs stay what they were.
        pairs = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device=device)
        return 1.0 / self.theta ** (pairs / self.head_dim)


def rotate(x_BHTQ: torch.Tensor, by: Rotation) -> torch.Tensor:
    """Turn queries or keys by their positions, in f32, and return them in their own dtype."""
    first, second = x_BHTQ.float().chunk(2, dim=-1)
    turned = (first * by.cos - second * by.sin, second * by.cos + first * by.sin)
    return torch.cat(turned, dim=-1).to(x_BHTQ.dtype)
