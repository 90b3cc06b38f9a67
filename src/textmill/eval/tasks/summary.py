"""What came of a task: each metric with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textmill.eval.intervals import bootstrap_ratio, wilson

_PASS_AT = (10, 100)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure.

    Attributes:
        name: ``acc``, ``acc_norm`` (log-probabilities for each character, as lm-evaluation-harness has it),
            ``acc_bytes`` (for each byte), ``perplexity`` (of whole answers), ``exact_match``, ``pass@k``.
        value: the figure.
        interval: of 95 %; None where one cannot be said.
    """

    name: str
    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class TaskScore:
    """A task's figures.

    Attributes:
        name: the task's.
        of: its kind.
        shots: examples before each item.
        num_items: items that were scored.
        num_cut: answers that ended at ``max_tokens``.
        metrics: the first is the one that tasks of this kind go by.
    """

    name: str
    of: str
    shots: int
    num_items: int
    num_cut: int
    metrics: tuple[Metric, ...]


def summarise_task(header: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> TaskScore:
    """Add up a task's records."""
    metrics = []
    for name in records[0]["scores"] if records else ():
        values = [record["scores"][name] for record in records]
        metrics.append(Metric(name, math.fsum(values) / len(values), _interval(values)))
    if records and header["of"] == "cloze":
        logprobs = np.array([record["logprob"] for record in records])
        interval = bootstrap_ratio(-logprobs, np.ones(len(logprobs)))
        metrics.append(
            Metric("perplexity", _exp(-float(logprobs.mean())), interval and (_exp(interval[0]), _exp(interval[1])))
        )
    outputs = [record["outputs"] for record in records if "outputs" in record]
    if outputs and header["of"] == "code":
        metrics += [_pass_at(k, outputs) for k in _PASS_AT if k <= len(outputs[0])]
    return TaskScore(
        name=header["task"],
        of=header["of"],
        shots=header["shots"],
        num_items=len(records),
        num_cut=sum(output["finish"] == "length" for some in outputs for output in some),
        metrics=tuple(metrics),
    )


def _interval(values: Sequence[float]) -> tuple[float, float] | None:
    if all(value in (0.0, 1.0) for value in values):
        return wilson(sum(values), len(values))
    return bootstrap_ratio(np.array(values), np.ones(len(values)))


def _pass_at(k: int, outputs: Sequence[Sequence[Mapping[str, Any]]]) -> Metric:
    """Of n samples c are right: ``1 - C(n - c, k) / C(n, k)``, averaged over items (arXiv:2107.03374 §2.1)."""
    values = []
    for some in outputs:
        count, right = len(some), sum(output["correct"] for output in some)
        values.append(1 - math.comb(count - right, k) / math.comb(count, k))
    return Metric(f"pass@{k}", math.fsum(values) / len(values), bootstrap_ratio(np.array(values), np.ones(len(values))))


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0))
