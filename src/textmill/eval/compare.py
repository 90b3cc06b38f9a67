"""Two models on the same items or documents: how far apart they are, and whether by more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textmill.base.errors import DataError
from textmill.eval.intervals import bootstrap_difference, mcnemar, sign_flip_test
from textmill.eval.results import Results, read_results, results_in

_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two models.

    Attributes:
        name: of the task or the source.
        metric: ``acc`` and so on, or ``bits_per_byte``.
        count: items or documents that both have.
        a: the first model's figure; ``b`` the second's.
        interval: of 95 % for ``b - a``, by a paired bootstrap; None for fewer than two items.
        only_a: items that only the first got right; ``only_b`` only the second; None where items are not just right or
            wrong.
        p_value: of McNemar's exact test where items are just right or wrong, else of the paired sign-flip test.
        differ: whether chance is an unlikely reason: p below 0.05.
    """

    name: str
    metric: str
    count: int
    a: float
    b: float
    interval: tuple[float, float] | None
    only_a: int | None
    only_b: int | None
    p_value: float

    @property
    def differ(self) -> bool:
        """Whether the difference is more than chance."""
        return self.p_value < _SURE


def compare_results(a: Path, b: Path) -> list[Difference]:
    """Compare two files of results, or all files that two folders both have.

    Raises:
        DataError: there is nothing that both have, or the same name stands for other items, or one is not finished.
    """
    differences = []
    for one, other in _pairs(a, b):
        first, second = read_results(one), read_results(other)
        _check_same(one, other, first, second)
        differences += _differences(first.header, first.records, second.records)
    return differences


def _pairs(a: Path, b: Path) -> list[tuple[Path, Path]]:
    if a.is_dir() != b.is_dir():
        raise DataError(f"one of {a} and {b} is a folder and the other is not; give two folders, or two files")
    if not a.is_dir():
        return [(a, b)]
    names = [{path.relative_to(folder) for path in results_in(folder)} for folder in (a, b)]
    both = sorted(names[0] & names[1])
    if not both:
        raise DataError(
            f"{a} and {b} have no results of the same name: {_listed(names[0])} and {_listed(names[1])}. Evaluate both "
            "models on the same data or tasks"
        )
    return [(a / name, b / name) for name in both]


def _listed(names: set[Path]) -> str:
    return ", ".join(sorted(map(str, names))[:8]) or "none"


def _check_same(one: Path, other: Path, first: Results, second: Results) -> None:
    """Two files are about the same items: of the same task, or the same texts, and all of them."""
    for key in ("kind", "task_sha256"):
        if first.header.get(key) != second.header.get(key):
            raise DataError(
                f"{one} and {other} are not about the same items: their {key} differ. Evaluate both with the same task "
                "file and settings"
            )
    strides = first.header.get("stride"), second.header.get("stride")
    if strides[0] != strides[1]:
        one_stride, other_stride = ("half the context" if stride is None else f"{stride:,}" for stride in strides)
        raise DataError(
            f"{one} was measured with a stride of {one_stride} and {other} of {other_stride}, which gives tokens other "
            "contexts. Evaluate both with the same --stride"
        )
    for path, results in ((one, first), (other, second)):
        if not results.is_whole:
            raise DataError(
                f"{path} has {_num_of(results)}: it was interrupted. Give the same textmill eval again, and it goes on"
            )
    if len(first.records) != len(second.records):
        raise DataError(
            f"{one} has {len(first.records):,} results and {other} {len(second.records):,}. Evaluate both with the "
            "same --limit on the same texts"
        )
    for number, (left, right) in enumerate(zip(first.records, second.records, strict=True), start=2):
        if (left["id"], left.get("hash")) != (right["id"], right.get("hash")):
            raise DataError(
                f"{one} and {other} are not about the same items: line {number} is {left['id']} there and "
                f"{right['id']} here, or its text differs"
            )
    if not first.records:
        raise DataError(f"{one} has no results yet")


def _num_of(results: Results) -> str:
    if results.num_expected is None:
        return f"the first {len(results.records):,} documents of its source"
    return f"{len(results.records):,} of {results.num_expected:,} items"


def _differences(
    header: Mapping[str, Any], first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]
) -> list[Difference]:
    if header["kind"] == "bits":
        a, b = (np.array([sum(record["bits"]) for record in records]) for records in (first, second))
        sizes = np.array([record["bytes"] for record in first], np.float64)
        return [_difference(header["source"], "bits_per_byte", a, b, sizes)]
    return [
        _difference(header["task"], name, *_values(name, first, second), np.ones(len(first)))
        for name in first[0]["scores"]
    ]


def _values(
    name: str, first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    a, b = (np.array([record["scores"][name] for record in records]) for records in (first, second))
    return a, b


def _difference(name: str, metric: str, a_N: np.ndarray, b_N: np.ndarray, sizes_N: np.ndarray) -> Difference:
    only_a = only_b = None
    if metric != "bits_per_byte" and np.isin((a_N, b_N), (0.0, 1.0)).all():
        test = mcnemar(int(((a_N == 1) & (b_N == 0)).sum()), int(((a_N == 0) & (b_N == 1)).sum()))
        only_a, only_b, p_value = test.only_a, test.only_b, test.p_value
    else:
        p_value = sign_flip_test(a_N, b_N)
    total = sizes_N.sum()
    return Difference(
        name,
        metric,
        len(a_N),
        float(a_N.sum() / total),
        float(b_N.sum() / total),
        bootstrap_difference(a_N, b_N, sizes_N),
        only_a,
        only_b,
        p_value,
    )
