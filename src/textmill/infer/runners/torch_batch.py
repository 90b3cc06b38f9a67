"""A ragged batch as tensors: the tokens of all chunks side by side, and where each text's blocks are.

N texts, T new tokens of all of them, R rows of logits, P pages of the longest text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from textmill.infer.runners.runner import Chunk


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one forward pass takes. Texts with few new tokens come first, in the order of their chunks.

    Attributes:
        ids, positions: int32 [T].
        places: int32 [T]: where each new token's key and value go.
        rows: int32 [R]: after which tokens logits are wanted, in the order of the chunks.
        ends: int32 [N + 1]: where each text's new tokens begin, and where the last of them end.
        lengths: int32 [N]: tokens of each text, the new ones included.
        table: int32 [N, P]: each text's pages in the order of its tokens.
        num_new: how many new tokens each text has.
        num_all: ``lengths`` on the host, or what these are at most.
        num_short: so many texts at the beginning have few new tokens.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    places: torch.Tensor
    rows: torch.Tensor
    ends: torch.Tensor
    lengths: torch.Tensor
    table: torch.Tensor
    num_new: Sequence[int]
    num_all: Sequence[int]
    num_short: int


def ragged_batch(
    chunks: Sequence[Chunk], *, block_size: int, spare_block: int, short_max: int, device: torch.device
) -> Batch:
    """Lay chunks out for a device, which takes one copy; texts with up to ``short_max`` new tokens come first."""
    order = sorted(range(len(chunks)), key=lambda index: len(chunks[index].ids) > short_max)
    ordered = [chunks[index] for index in order]
    num_new = [len(chunk.ids) for chunk in ordered]
    ends = np.cumsum([0, *num_new])
    start_of = dict(zip(order, ends[:-1].tolist(), strict=True))
    table = _table(ordered, num_pages_of(chunks, block_size), block_size, spare_block)
    positions = [np.arange(chunk.start, chunk.start + len(chunk.ids)) for chunk in ordered]
    lengths = [chunk.start + len(chunk.ids) for chunk in ordered]
    parts = [
        np.concatenate([np.asarray(chunk.ids) for chunk in ordered]),
        np.concatenate(positions),
        np.concatenate([_places(row, at, block_size) for row, at in zip(table, positions, strict=True)]),
        np.concatenate([_rows(chunk, start_of[index]) for index, chunk in enumerate(chunks)]),
        ends,
        lengths,
        table.ravel(),
    ]
    packed = torch.from_numpy(np.concatenate(parts).astype(np.int32)).to(device)
    ids, at, places, rows, ends_on, lengths_on, table_on = packed.split([len(part) for part in parts])
    return Batch(
        ids=ids,
        positions=at,
        places=places,
        rows=rows,
        ends=ends_on,
        lengths=lengths_on,
        table=table_on.view(table.shape),
        num_new=num_new,
        num_all=lengths,
        num_short=sum(count <= short_max for count in num_new),
    )


class DecodeBatch:
    """A batch of one new token a text whose tensors stay where they are, so that a graph can be replayed on them.

    Room is for ``num_texts`` texts of ``num_pages`` pages; rows that are not filled compute a text of one token, whose
    key and value go to the spare block.
    """

    def __init__(
        self, *, num_texts: int, num_pages: int, block_size: int, spare_block: int, device: torch.device
    ) -> None:
        self._block_size = block_size
        self._spare_block = spare_block
        sizes = [num_texts] * 4 + [num_texts * num_pages]
        self._host = torch.empty(sum(sizes), dtype=torch.int32, pin_memory=device.type == "cuda")
        self._device = torch.empty(sum(sizes), dtype=torch.int32, device=device)
        self._parts = np.split(self._host.numpy(), np.cumsum(sizes)[:-1])
        ids, positions, places, lengths, table = self._device.split(sizes)
        self.batch = Batch(
            ids=ids,
            positions=positions,
            places=places,
            rows=torch.arange(num_texts, dtype=torch.int32, device=device),
            ends=torch.arange(num_texts + 1, dtype=torch.int32, device=device),
            lengths=lengths,
            table=table.view(num_texts, num_pages),
            num_new=[1] * num_texts,
            num_all=[num_pages * block_size] * num_texts,
            num_short=num_texts,
        )

    def load(self, chunks: Sequence[Chunk]) -> None:
        """Put chunks of one token each into the tensors. What was computed on the last ones must have ended."""
        num_pages = self.batch.table.shape[1]
        starts = np.array([chunk.start for chunk in chunks])
        table = _table(chunks, num_pages, self._block_size, self._spare_block)
        places = (
            table[np.arange(len(chunks)), starts // self._block_size] * self._block_size + starts % self._block_size
        )
        filled = [
            ([chunk.ids[0] for chunk in chunks], 0),
            (starts, 0),
            (places, self._spare_block * self._block_size),
            (starts + 1, 1),
            (table.ravel(), self._spare_block),
        ]
        for part, (values, padding) in zip(self._parts, filled, strict=True):
            part[: len(values)] = values
            part[len(values) :] = padding
        self._device.copy_(self._host, non_blocking=True)


def num_pages_of(chunks: Sequence[Chunk], block_size: int) -> int:
    """Pages that the longest of the texts fills, its new tokens included."""
    return max(-(-(chunk.start + len(chunk.ids)) // block_size) for chunk in chunks)


def _table(chunks: Sequence[Chunk], num_pages: int, block_size: int, spare_block: int) -> np.ndarray:
    """The pages of each text, [N, num_pages]; those that a text does not fill are the spare one."""
    table = np.full((len(chunks), num_pages), spare_block)
    for row, chunk in zip(table, chunks, strict=True):
        used = chunk.blocks[: num_pages_of([chunk], block_size)]
        row[: len(used)] = used
    return table


def _places(pages: np.ndarray, positions: np.ndarray, block_size: int) -> np.ndarray:
    """Where tokens of one text are that stand at ``positions``."""
    return pages[positions // block_size] * block_size + positions % block_size


def _rows(chunk: Chunk, first: int) -> np.ndarray:
    """Which of the batch's tokens are the chunk's last ``num_logits``, where its tokens begin at ``first``."""
    end = first + len(chunk.ids)
    return np.arange(end - chunk.num_logits, end)
