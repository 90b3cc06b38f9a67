"""Prompts and their answers laid out in rows for the model, several in a row, none of which sees another.

R rows, T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.data.loader import Batch
from textmill.text.token_stream import IGNORED

NOBODY = -1


@dataclass(frozen=True, slots=True)
class AnsweredPrompt:
    """A text of which the end is an answer.

    Attributes:
        prompt: token ids, at least one.
        answer: token ids, at least one: what the loss is about.
    """

    prompt: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def num_inputs(self) -> int:
        """Tokens that the model reads: all but the last."""
        return len(self.prompt) + len(self.answer) - 1


@dataclass(frozen=True, slots=True)
class AnswerBatch(Batch):
    """A batch whose targets are the tokens of answers.

    Attributes:
        owners: int32[R, T], the number of the answer that a target is a token of; -1 where there is no target.
        num_read: tokens that the model reads, padding not among them.
    """

    owners: NDArray[np.int32] | None = None
    num_read: int = 0

    def parts(self) -> dict[str, Any]:
        """What it consists of, to make a batch of that knows more."""
        return {field.name: getattr(self, field.name) for field in fields(AnswerBatch)}


def pack(groups: Sequence[Sequence[AnsweredPrompt]], *, context: int) -> AnswerBatch:
    """Lay texts out in rows of ``context`` tokens or fewer, the texts of a group side by side in the same row.

    Groups go where they fit best, the longest first; where no row has room, a new one begins. Rows are as long as the
    longest of them.

    Args:
        groups: each fits into a row. Their texts are numbered through, group after group.
        context: tokens of a row at most.
    """
    lengths = [sum(text.num_inputs for text in group) for group in groups]
    rows = _best_fit(lengths, context)
    first = np.cumsum([0, *(len(group) for group in groups)])
    num_tokens = max(sum(lengths[number] for number in row) for row in rows)
    shape = (len(rows), num_tokens)
    inputs, targets = np.zeros(shape, np.int64), np.full(shape, IGNORED, np.int64)
    positions, segments = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    owners = np.full(shape, NOBODY, np.int32)
    for row, numbers in enumerate(rows):
        at, num_texts = 0, 0
        for number in numbers:
            for place, text in enumerate(groups[number]):
                ids = np.array([*text.prompt, *text.answer])
                span = slice(at, at + text.num_inputs)
                answered = slice(at + len(text.prompt) - 1, at + text.num_inputs)
                inputs[row, span] = ids[:-1]
                targets[row, answered] = text.answer
                positions[row, span] = np.arange(text.num_inputs)
                segments[row, span] = num_texts
                owners[row, answered] = first[number] + place
                at, num_texts = at + text.num_inputs, num_texts + 1
        positions[row, at:] = np.arange(num_tokens - at)
        segments[row, at:] = num_texts
    return AnswerBatch(inputs, targets, ("answers",) * len(rows), positions, segments, owners, sum(lengths))


def _best_fit(lengths: Sequence[int], context: int) -> list[list[int]]:
    """Numbers of groups by row; the fullest row that has room takes the next longest group."""
    rows: list[list[int]] = []
    room: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        assert lengths[number] <= context, (lengths[number], context)
        fitting = [row for row, left in enumerate(room) if left >= lengths[number]]
        if fitting:
            row = min(fitting, key=lambda row: room[row])
        else:
            row = len(rows)
            rows.append([])
            room.append(context)
        rows[row].append(number)
        room[row] -= lengths[number]
    return rows
