"""Several runs beside each other: what they were told differently, and what they scored after as much work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from textmill.train.run_facts import TRAINING, Score, running_mean, scores_of
from textmill.train.run_record import RunRecord

# Where a run lies and what watches it is no difference of what it does; what was measured of the machine is noise.
_LEFT_OUT = ("recipe.run.dir", "recipe.run.log_to", "plan.step_time_s", "plan.peak_flops_per_s")


@dataclass(frozen=True, slots=True)
class Difference:
    """A key of the configuration, and each run's value of it; None where it has none."""

    key: str
    values: list[Any]


@dataclass(frozen=True, slots=True)
class ScoreBeside:
    """What one run scored of a source.

    Attributes:
        at_step: bits per byte at the last look before the step that all runs reached; None where there was none.
        at_tokens: the same by tokens.
    """

    run: str
    score: Score
    at_step: float | None
    at_tokens: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        names: of the runs, made different where they are not.
        equal_step: the last step that all of them reached.
        equal_tokens: the tokens that all of them saw.
        scores: by source, ``all`` first and ``training`` last; runs that lack a source are left out of it.
    """

    names: list[str]
    differences: list[Difference]
    equal_step: int
    equal_tokens: float
    scores: dict[str, list[ScoreBeside]]


def compare_runs(runs: Sequence[RunRecord]) -> Comparison:
    """Compare runs by their configurations and logs."""
    names = different_names(runs)
    equal_step = min(run.history.step for run in runs)
    equal_tokens = min(_last(run.history.axis("tokens")) for run in runs)
    scores: dict[str, list[ScoreBeside]] = {}
    for name, run in zip(names, runs, strict=True):
        points = _points(run)
        for score in scores_of(run.history):
            steps, values = points[score.source]
            tokens = (
                np.interp(steps, run.history.steps, run.history.axis("tokens")) if len(run.history.steps) else steps
            )
            beside = ScoreBeside(
                name, score, _last_until(steps, values, equal_step), _last_until(tokens, values, equal_tokens)
            )
            scores.setdefault(score.source, []).append(beside)
    order = sorted(scores, key=lambda source: (source == TRAINING, source != "all", source))
    return Comparison(
        names=names,
        differences=differences([run.config for run in runs]),
        equal_step=equal_step,
        equal_tokens=equal_tokens,
        scores={source: scores[source] for source in order},
    )


def different_names(runs: Sequence[RunRecord]) -> list[str]:
    """A name for each run, with as much of its path as tells it from the others."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    paths = [str(run.folder) for run in runs]
    return paths if len(set(paths)) == len(paths) else [f"{number + 1}: {path}" for number, path in enumerate(paths)]


def differences(configs: Sequence[dict[str, Any]]) -> list[Difference]:
    """The keys of recipes and plans that do not have the same value everywhere."""
    flat = [_flat({key: config.get(key) for key in ("recipe", "plan", "environment")}) for config in configs]
    found = []
    for key in sorted({key for table in flat for key in table}, key=_recipe_first):
        values = [table.get(key) for table in flat]
        if key not in _LEFT_OUT and any(_frozen(value) != _frozen(values[0]) for value in values):
            found.append(Difference(key, values))
    return found


def _recipe_first(key: str) -> tuple[int, str]:
    return ("recipe", "plan", "environment").index(key.partition(".")[0]), key


def _flat(table: Any, where: str = "") -> dict[str, Any]:
    if isinstance(table, dict):
        inner = [_flat(value, f"{where}.{key}" if where else str(key)) for key, value in table.items()]
        return {key: value for one in inner for key, value in one.items()}
    if isinstance(table, list) and any(isinstance(value, dict) for value in table):
        return _flat({str(number + 1): value for number, value in enumerate(table)}, where)
    return {} if table is None else {where: table}


def _frozen(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _points(run: RunRecord) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Steps and bits per byte of each source, and of the training text."""
    history = run.history
    points = {
        source: (np.array([step for step, _ in found], float), np.array([value for _, value in found], float))
        for source, found in history.held_out().items()
    }
    return points | {TRAINING: (history.steps.astype(float), running_mean(history.figures("bits_per_byte")))}


def _last(values: np.ndarray) -> float:
    return float(values[-1]) if len(values) else 0.0


def _last_until(places: np.ndarray, values: np.ndarray, end: float) -> float | None:
    """The value at the last place that is not behind the end."""
    known = np.flatnonzero((places <= end) & np.isfinite(values))
    return float(values[known[-1]]) if len(known) else None
