"""Which tokens attend to which: calls of the attention kernel that cover a batch of packed documents.

A row of B holds documents one after another. The kernel's causal mode costs half of a mask's, but every call has its
price, so a long document is a call of its own and short neighbours share one, kept apart by a mask. Native kernels
(``attention_kernels``) need none of that: they are told where each token's document begins.

B rows, T tokens of a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch.nn import functional

# Neighbours share a call up to so many tokens together. Measured on documents of 16 to 100 tokens in rows of 1,024:
# calls shared by 128 tokens cost up to 1.8 times as much, and one mask for the whole row 3 to 15 times.
_SHARED_TOKENS = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A call of the kernel: tokens of some rows, that attend to each other and to nothing else.

    ``mask`` is added to scores, [tokens, tokens]: 0 or minus infinity; None is causal attention.
    """

    rows: slice
    tokens: slice
    mask: torch.Tensor | None


@dataclasses.dataclass(frozen=True, slots=True)
class Segments:
    """The documents of a batch on one device.

    Attributes:
        numbers: [B, T], number of each token's document in its row, never falling; None is one document in each row.
        shape: B and T.
        pieces: the calls of torch's kernel on a CPU by the window of a layer, made once and shared by all layers.
        starts: what ``starts_of`` gives, by the window.
        ends: what ``ends_of_documents`` gives, once it was asked for.
    """

    numbers: torch.Tensor | None
    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device
    pieces: dict[int | None, list[Piece]] = dataclasses.field(default_factory=dict)
    starts: dict[int | None, torch.Tensor | None] = dataclasses.field(default_factory=dict)
    ends: list[tuple[torch.Tensor, int]] = dataclasses.field(default_factory=list)

    def ends_of_documents(self) -> tuple[torch.Tensor, int]:
        """Where documents end in all rows, one after another, with a 0 before: int32 [documents + 1]; the longest.

        Layers share it: to tell the longest, a GPU is waited for.
        """
        if not self.ends:
            assert self.numbers is not None
            numbers_BT = self.numbers.to(self.device)
            rows = torch.arange(len(numbers_BT), device=self.device)[:, None].expand_as(numbers_BT)
            pairs = torch.stack((rows, numbers_BT), dim=-1).flatten(0, 1)
            lengths = torch.unique_consecutive(pairs, dim=0, return_counts=True)[1]
            ends = functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0))
            self.ends.append((ends, int(lengths.max())))
        return self.ends[0]

    def starts_of(self, window: int | None) -> torch.Tensor | None:
        """Return the first token that each token sees in layers with this window, int32 [B, T]; None is 0 for all."""
        window = self._slides(window)
        if window not in self.starts:
            self.starts[window] = self._make_starts(window)
        return self.starts[window]

    def pieces_of(self, window: int | None) -> list[Piece]:
        """Return the calls for layers with this window; they are a function of the lengths alone."""
        window = self._slides(window)
        if window not in self.pieces:
            self.pieces[window] = list(self._make(window))
        return self.pieces[window]

    def _slides(self, window: int | None) -> int | None:
        return None if window is not None and window >= self.shape[1] else window

    def _make_starts(self, window: int | None) -> torch.Tensor | None:
        if self.numbers is None and window is None:
            return None
        positions = torch.arange(self.shape[1], dtype=torch.int32).expand(self.shape)
        starts_BT = torch.zeros_like(positions, memory_format=torch.contiguous_format)
        if self.numbers is not None:
            numbers_BT = self.numbers.cpu()
            is_first = numbers_BT[:, 1:] != numbers_BT[:, :-1]
            starts_BT[:, 1:] = (positions[:, 1:] * is_first).cummax(dim=1).values
        if window is not None:
            starts_BT = starts_BT.maximum(positions - (window - 1))
        return starts_BT

    def _make(self, window: int | None) -> Iterator[Piece]:
        num_rows, num_tokens = self.shape
        numbers = torch.zeros((1, num_tokens), dtype=torch.int32) if self.numbers is None else self.numbers.cpu()
        if bool((numbers == numbers[:, :1]).all()):
            yield self._piece(slice(0, num_rows), [num_tokens], 0, window)
            return
        for row, numbers_T in enumerate(numbers):
            start = 0
            for lengths in _groups(torch.unique_consecutive(numbers_T, return_counts=True)[1].tolist()):
                yield self._piece(slice(row, row + 1), lengths, start, window)
                start += sum(lengths)

    def _piece(self, rows: slice, lengths: list[int], start: int, window: int | None) -> Piece:
        plain = len(lengths) == 1 and (window is None or lengths[0] <= window)
        mask = None if plain else self._mask(lengths, window)
        return Piece(rows, slice(start, start + sum(lengths)), mask)

    def _mask(self, lengths: list[int], window: int | None) -> torch.Tensor:
        numbers = torch.repeat_interleave(torch.tensor(lengths))
        positions = torch.arange(len(numbers))
        hidden = (numbers[:, None] != numbers) | (positions > positions[:, None])
        if window is not None:
            hidden |= positions <= positions[:, None] - window
        mask = torch.zeros(hidden.shape, dtype=self.dtype).masked_fill_(hidden, -torch.inf)
        return mask.to(self.device)


def _groups(lengths: list[int]) -> Iterator[list[int]]:
    """Neighbours that share a call, in order."""
    group: list[int] = []
    for length in lengths:
        if group and sum(group) + length > _SHARED_TOKENS:
            yield group
            group = []
        group.append(length)
    yield group
