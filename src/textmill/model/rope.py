"""RoPE: turn each pair of a head's values by an angle that grows with the position (arXiv:2104.09864 §3.2.2).

The pair of value i is value i + Q/2, the halves being rotated against each other, as in Hugging Face's checkpoints;
files with interleaved pairs are permuted where they are read.
"""

from __future__ import annotations

from typing import NamedTuple

import torch


class Rotation(NamedTuple):
    """Cosines and sines of one forward pass, [T, Q/2] in f32; all layers share them."""

    cos: torch.Tensor
    sin: torch.Tensor


def rotation(start: int, num_positions: int, head_dim: int, theta: float, device: torch.device) -> Rotation:
    """Angles of the positions from ``start`` on: position * theta^(-2i/Q) for pair i, in f32.

    Nothing is kept between calls: for 2,048 positions this is a millionth of the arithmetic of a 100 M parameter
    forward pass, and a table that is not there cannot be stale.
    """
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device)
    frequencies = 1.0 / theta ** (pairs / head_dim)
    positions = torch.arange(start, start + num_positions, dtype=torch.float32, device=device)
    angles = torch.outer(positions, frequencies)
    return Rotation(angles.cos(), angles.sin())


def rotate(x_BHTQ: torch.Tensor, by: Rotation) -> torch.Tensor:
    """Turn queries or keys by their positions, in f32, and return them in their own dtype."""
    first, second = x_BHTQ.float().chunk(2, dim=-1)
    turned = (first * by.cos - second * by.sin, second * by.cos + first * by.sin)
    return torch.cat(turned, dim=-1).to(x_BHTQ.dtype)
