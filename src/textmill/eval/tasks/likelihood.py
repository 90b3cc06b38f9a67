"""Items whose answers are given: the likeliest choice, and whether greedy decoding writes an answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from textmill.eval.scorer import Score, Scorer
from textmill.eval.tasks.prompts import Prompts
from textmill.eval.tasks.task import Item

Record = dict[str, Any]
_ITEMS_AT_ONCE = 64


def score_items(items: Sequence[Item], prompts: Prompts, scorer: Scorer) -> Iterator[list[Record]]:
    """Score items of the kinds ``choice`` and ``cloze``, some at once; records in the items' order."""
    rest = iter(items)
    while batch := list(islice(rest, _ITEMS_AT_ONCE)):
        answers = [item.choices or (item.answer_text,) for item in batch]
        texts = [text for item, some in zip(batch, answers, strict=True) for text in prompts.scored(item, some)]
        scores = scorer.score(texts, at_once=len(texts))
        yield [
            (_chosen if item.choices else _completed)(item, [next(scores) for _ in some])
            for item, some in zip(batch, answers, strict=True)
        ]


def _chosen(item: Item, scores: Sequence[Score]) -> Record:
    """The choice with the largest log-probability: as it is, for each character and for each byte of its text."""
    logprobs_C = np.array([score.total for score in scores])
    characters_C = np.array([len(choice) for choice in item.choices])
    bytes_C = np.array([len(choice.encode()) for choice in item.choices])
    picked = {
        "acc": logprobs_C.argmax(),
        "acc_norm": (logprobs_C / characters_C).argmax(),
        "acc_bytes": (logprobs_C / bytes_C).argmax(),
    }
    return {
        "id": item.id,
        "right": item.answer,
        "logprobs": logprobs_C.tolist(),
        "picked": {name: int(number) for name, number in picked.items()},
        "scores": {name: float(number == item.answer) for name, number in picked.items()},
    }


def _completed(item: Item, scores: Sequence[Score]) -> Record:
    (score,) = scores
    return {
        "id": item.id,
        "logprob": score.total,
        "tokens": len(score.logprobs),
        "scores": {"acc": float(score.is_greedy)},
    }
