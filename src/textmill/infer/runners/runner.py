"""What the engine asks of a runner: one forward pass over a ragged batch, keys and values kept in blocks.

The engine hands out the blocks (``infer.blocks``); a runner only reads and writes those that a chunk names. Whoever
made a block's keys and values, they are the same: a chunk may go on from blocks that another text filled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Tokens to append to one text: a part of its prompt, or the token just drawn (and guesses of the next ones).

    Attributes:
        ids: the new tokens, at least one.
        start: how many tokens of the text have their keys and values already; the new ones follow.
        blocks: the text's blocks in the order of its tokens, enough for ``start + len(ids)`` of them. The blocks that
            hold new tokens belong to this text alone.
        num_logits: logits are wanted after the last so many of ``ids``: 0 within a prompt, 1 at the end of it.
        adapter: the number of the one that changes the model for this text, where the runner has any. It is the same
            for all of a text's chunks: keys and values depend on it.
    """

    ids: Sequence[int]
    start: int
    blocks: Sequence[int]
    num_logits: int = 1
    adapter: int | None = None


class Runner(Protocol):
    """Runs the forward pass of one loaded model.

    Attributes:
        block_size: tokens of one text that a block holds.
        num_blocks: blocks there are; they are named 0 to ``num_blocks - 1``.
        tolerance: the largest absolute difference of logits between two ways to cut and batch the same texts;
            0 means the same bits.
    """

    block_size: int
    num_blocks: int
    tolerance: float

    def forward(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """Append chunks of different texts in one pass; float32 [sum of num_logits, V], in the order of the chunks."""
        ...

    def states(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """The same pass, for the states that logits are made of: the last layer's, normed; float32 [rows, width]."""
        ...

    def copy_block(self, source: int, target: int) -> None:
        """Make a block's keys and values those of another, for texts that part within it."""
        ...
