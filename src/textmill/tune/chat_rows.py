"""Conversations side by side in rows, none of which sees another, and which of them a step has.

R rows, T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from textmill.data.loader import Batch
from textmill.text.best_fit import pack_best_fit
from textmill.text.token_stream import IGNORED
from textmill.tune.chat_tokens import ChatTokens
from textmill.tune.order import numbers_of

Row = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChatBatch(Batch):
    """A batch of conversations.

    Attributes:
        num_read: tokens that the model reads, padding not among them.
    """

    num_read: int = 0


class ChatSource:
    """Makes the batch of any step: a pure function of the conversations, the seed and the step.

    Args:
        chats: at least one; none is longer than ``context``.
        context: tokens of a row at most.
        per_step: of a batch: conversations, or rows where ``packs_all``.
        packs_all: rows are packed once, of all conversations, and are what a step has so many of; else a step has
            conversations, which share as few rows as hold them.
        seed: chooses the order.
    """

    def __init__(self, chats: Sequence[ChatTokens], *, context: int, per_step: int, packs_all: bool, seed: int) -> None:
        assert chats
        self._chats, self._context, self._seed = chats, context, seed
        self.per_step = per_step
        everything: Row = tuple(range(len(chats)))
        self._items = packed(chats, everything, context) if packs_all else [(number,) for number in everything]
        self._packs_all = packs_all

    @property
    def num_items(self) -> int:
        """Rows, or conversations: what an epoch has."""
        return len(self._items)

    def numbers(self, step: int) -> list[int]:
        """The conversations of a step, counted from 0."""
        return [number for item in self._chosen(step) for number in item]

    def batch(self, step: int) -> ChatBatch:
        """Make the batch of a step, counted from 0."""
        items = self._chosen(step)
        if self._packs_all:
            return lay_out(self._chats, items)
        return lay_out(self._chats, packed(self._chats, [number for item in items for number in item], self._context))

    def _chosen(self, step: int) -> list[Row]:
        numbers = numbers_of(step, len(self._items), per_step=self.per_step, seed=self._seed)
        return [self._items[number] for number in numbers]


def packed(chats: Sequence[ChatTokens], numbers: Sequence[int], context: int) -> list[Row]:
    """Put conversations into rows, best-fit-decreasing; a row holds their numbers."""
    lengths = np.array([chats[number].num_inputs for number in numbers], np.int64)
    rows = pack_best_fit(lengths, np.zeros(len(lengths), np.uint8), context)
    edges = rows.row_pieces
    return [
        tuple(numbers[place] for place in rows.documents[edges[row] : edges[row + 1]]) for row in range(len(edges) - 1)
    ]


def lay_out(chats: Sequence[ChatTokens], rows: Sequence[Row]) -> ChatBatch:
    """Lay conversations out in rows as long as the longest; padding is a document of its own, and no target."""
    lengths = [sum(chats[number].num_inputs for number in row) for row in rows]
    shape = len(rows), max(lengths)
    inputs, targets = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64)
    positions, segments = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row, numbers in enumerate(rows):
        at = 0
        for place, number in enumerate(numbers):
            chat = chats[number]
            span = slice(at, at + chat.num_inputs)
            inputs[row, span] = chat.ids[:-1]
            targets[row, span] = chat.targets
            positions[row, span] = np.arange(chat.num_inputs)
            segments[row, span] = place
            at += chat.num_inputs
        positions[row, at:] = np.arange(shape[1] - at)
        segments[row, at:] = len(numbers)
    return ChatBatch(inputs, targets, ("chats",) * len(rows), positions, segments, sum(lengths))


def longest(chats: Sequence[ChatTokens]) -> int:
    """Tokens of the longest conversation that the model reads."""
    return max(chat.num_inputs for chat in chats)


def row_tokens(chats: Sequence[ChatTokens], *, context: int, packs_all: bool) -> int:
    """Tokens of a row at most: the longest conversation, or the context where all are packed and fill it."""
    return min(context, sum(chat.num_inputs for chat in chats)) if packs_all else longest(chats)
