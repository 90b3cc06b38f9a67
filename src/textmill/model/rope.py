"""RoPE: turn each pair of a head's values by an angle that grows with the position (arXiv:2104.09864 §3.2.2).

The pair of value i is value i + Q/2, the halves being rotated against each other, as in Hugging Face's checkpoints;
files with interleaved pairs are permuted where they are read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from textmill.model.config import ModelConfig
from textmill.model.norm import wide
from textmill.model.rope_scaling import rope_frequencies


class Rotation(NamedTuple):
    """Cosines and sines of one forward pass, in f32; all layers that rotate share them.

    Both are [T, 1, Q] or [B, T, 1, Q]: each pair's number stands at both of its places, sines of the first negative.
    """

    cos: torch.Tensor
    sin: torch.Tensor

    def inverse(self) -> Rotation:
        """The rotation back, times the square of YaRN's factor: what gradients go through."""
        return Rotation(self.cos, -self.sin)


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
        """Angles of the positions from ``start`` on, for every row; see ``rotation_at``."""
        return self.rotation_at(torch.arange(start, start + num_positions, device=device))

    def rotation_at(self, positions: torch.Tensor) -> Rotation:
        """Angles of positions [T], or [B, T]: position * theta^(-2i/Q) for pair i, in f32, or as scaled.

        Nothing is kept between calls: for 2,048 positions this is a millionth of the arithmetic of a 100 M parameter
        forward pass, and a table that is not there cannot be stale.
        """
        angles = positions.float()[..., None, None] * self._frequencies(positions.device)
        cos, sin = angles.cos() * self.factor, angles.sin() * self.factor
        return Rotation(torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1))

    def _frequencies(self, device: torch.device) -> torch.Tensor:
        if self.scaled is not None:
            return torch.tensor(self.scaled, dtype=torch.float32, device=device)
        # torch's own powers, off by at most an ulp from those of ``rope_frequencies``: runs stay what they were.
        pairs = torch.arange(0, self.head_dim, 2, dtype=torch.float32, device=device)
        return 1.0 / self.theta ** (pairs / self.head_dim)


def rotate(x_BTHQ: torch.Tensor, by: Rotation) -> torch.Tensor:
    """Turn queries or keys by their positions, in f32 or f64, and return them in their own dtype."""
    x = wide(x_BTHQ)
    partners = x.roll(x.shape[-1] // 2, dims=-1)
    return (x * by.cos).addcmul_(partners, by.sin).to(x_BTHQ.dtype)
