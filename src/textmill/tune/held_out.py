"""What is held out of tuning: a share of the items by hash of their prompts, so that a question is on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from textmill.base.errors import ConfigError
from textmill.tune.chat_tokens import ChatTokens
from textmill.tune.preference_tokens import Pair
from textmill.tune.questions import Question

ItemT = TypeVar("ItemT", ChatTokens, Pair, Question)


def split(items: Sequence[ItemT], share: float) -> tuple[list[ItemT], list[ItemT]]:
    """What is learned from, and what is held out: about ``share`` of it, the same whatever else there is.

    Raises:
        ConfigError: nothing is left on one of the sides.
    """
    if not share:
        return list(items), []
    held_out = [place_of(item) < share for item in items]
    num_held_out = sum(held_out)
    if not 0 < num_held_out < len(items):
        raise ConfigError(
            f"eval.holdout is {share:g}, which holds {num_held_out} of {len(items):,} out: prompts are chosen by their "
            "hash. Take another share, or give files of their own as eval.data"
        )
    return (
        [item for item, is_out in zip(items, held_out, strict=True) if not is_out],
        [item for item, is_out in zip(items, held_out, strict=True) if is_out],
    )


def sample(items: Sequence[ItemT], max_tokens: int) -> list[ItemT]:
    """The first by their hashes, as many as ``max_tokens`` hold, and one at least; in the order of the files."""
    chosen, num_tokens = [], 0
    for number in sorted(range(len(items)), key=lambda number: (place_of(items[number]), number)):
        num_tokens += items[number].num_inputs
        if chosen and num_tokens > max_tokens:
            break
        chosen.append(number)
    return [items[number] for number in sorted(chosen)]


def place_of(item: ItemT) -> float:
    """Where an item's prompt lies between 0 and 1."""
    ids = item.ids if isinstance(item, Question) else item.prompt
    digest = hashlib.blake2b(np.array(ids, "<i4").tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2.0**64
