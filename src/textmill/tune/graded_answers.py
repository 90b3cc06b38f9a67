"""Answers of a step and what they were worth, as they are kept with the run: one JSON object a line, whole or absent.

They are there to be read by people, and by a run that updates several times on the same answers and is resumed in
between: floats come back from JSON as they were.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.base.files import write_file

FOLDER = "rollouts"


@dataclass(frozen=True, kw_only=True, slots=True)
class GradedAnswer:
    """An answer that the model wrote.

    Attributes:
        where: ``file:line`` of its prompt.
        question: the number of its prompt.
        answer: its text.
        reward: what it was worth.
        advantage: how much better it was than the others to its prompt.
        has_ended: whether it came to its end, and was not cut off.
        ids: its tokens, the one that ended it included.
        log_p: log-probability of each under the model that wrote it, in nats; empty where a step updates once.
    """

    where: str
    question: int
    answer: str
    reward: float
    advantage: float
    has_ended: bool
    ids: tuple[int, ...]
    log_p: tuple[float, ...] = ()


def path_of(run: Path, step: int, rank: int = 0) -> Path:
    """Where the answers lie that were written before a step, counted from 0."""
    return run / FOLDER / (f"step-{step:07}.jsonl" if not rank else f"step-{step:07}.rank-{rank}.jsonl")


def write_answers(path: Path, answers: Sequence[GradedAnswer]) -> None:
    """Write answers; raises ``StorageError`` where there is no room."""
    lines = "".join(json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in answers)
    write_file(path, lines)


def read_answers(path: Path) -> list[GradedAnswer]:
    """Read them back.

    Raises:
        DataError: they are not there, or damaged.
    """
    try:
        # Not splitlines(): an answer may hold U+0085, U+2028 and U+2029, which JSON writes as they are.
        lines = path.read_text(encoding="utf-8").split("\n")
        records = [json.loads(line) for line in lines if line]
        return [_answer(record) for record in records]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} is missing or damaged ({error}), and the step in hand goes on from the answers in it; remove the "
            "run's last checkpoint to go on from the one before it"
        ) from error


def _answer(record: dict[str, Any]) -> GradedAnswer:
    table: dict[str, Any] = {**record, "ids": tuple(record["ids"]), "log_p": tuple(record["log_p"])}
    return GradedAnswer(**table)
