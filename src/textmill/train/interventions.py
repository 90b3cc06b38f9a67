"""What was decided while a run went on: batches passed over, smaller micro-batches; kept in ``interventions.json``.

A run is a pure function of shards, recipe, seed and this file. A decision is written before it takes effect, so a run
that is killed after it comes to the same end.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from textmill.base.config import from_table, to_table
from textmill.base.errors import DataError
from textmill.base.files import write_file

INTERVENTIONS = "interventions.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """Data steps that no step of training sees.

    Attributes:
        first: the first of them, counted from 0; ``end`` is the first that is not.
        back_to: the step of training, counted from 0, that the run went back to, and goes on from without them.
        reason: why: a ``spike``, a value that is ``not finite``, or because it was ``asked``.
    """

    first: int
    end: int
    back_to: int
    reason: Literal["spike", "not finite", "asked"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FewerRows:
    """Memory ran out: fewer rows go through the model at once for the rest of a stage.

    Attributes:
        first: the step of training, counted from 0, where it began; those before are taken as they were, again too.
        stage: the name of the stage.
        micro_rows: rows at once.
    """

    first: int
    stage: str
    micro_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Interventions:
    """All decisions of a run, in the order they were made.

    Attributes:
        skips: batches passed over.
        fewer_rows: where memory ran out.
    """

    skips: tuple[Skip, ...] = ()
    fewer_rows: tuple[FewerRows, ...] = ()

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """The data steps that are passed over, as the loader takes them."""
        return tuple((skip.first, skip.end) for skip in self.skips)

    def with_skip(self, skip: Skip) -> Interventions:
        """These, and another skip."""
        return dataclasses.replace(self, skips=(*self.skips, skip))

    def with_fewer_rows(self, fewer: FewerRows) -> Interventions:
        """These, and fewer rows at once from a step on."""
        return dataclasses.replace(self, fewer_rows=(*self.fewer_rows, fewer))

    def micro_rows(self, step: int, stage: str, planned: int) -> int:
        """Rows that go through at once in a step of training of a stage."""
        return min([planned, *(f.micro_rows for f in self.fewer_rows if f.stage == stage and f.first <= step)])

    def outdates(self, step: int, num_known: int) -> bool:
        """Whether a state after ``step`` steps is of a way that was left; ``num_known`` skips were made by then."""
        return any(skip.back_to < step for skip in self.skips[num_known:])


def load_interventions(run: Path) -> Interventions:
    """Read a run's decisions; none where nothing happened.

    Raises:
        DataError: the file is damaged.
    """
    path = run / INTERVENTIONS
    if not path.is_file():
        return Interventions()
    try:
        return from_table(Interventions, _of_now(json.loads(path.read_text())))
    except ValueError as error:
        raise DataError(
            f"{path} is damaged: {error}. It says which batches the run passed over; put it back"
        ) from error


def _of_now(table: Any) -> Any:
    """Say decisions as they are said now: until 2026-11-29 fewer rows held for all of a stage."""
    if not isinstance(table, dict) or not isinstance(table.get("micro_rows"), dict):
        return table
    rows = [{"first": 0, "stage": stage, "micro_rows": number} for stage, number in table["micro_rows"].items()]
    return {**{key: value for key, value in table.items() if key != "micro_rows"}, "fewer_rows": rows}


def save_interventions(run: Path, interventions: Interventions) -> None:
    """Write a run's decisions, whole."""
    write_file(run / INTERVENTIONS, json.dumps(to_table(interventions), indent=2) + "\n")
