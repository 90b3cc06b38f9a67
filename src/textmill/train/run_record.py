"""A run's folder as a reader finds it: its configuration and its log, whatever release wrote them, without torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError, did_you_mean
from textmill.base.events import iter_events
from textmill.checkpoint.json_files import read_json
from textmill.train.run_history import History

CONFIG = "config.json"
EVENTS = "events.jsonl"
RUNS = Path("runs")


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run's folder tells.

    Attributes:
        folder: where it is.
        config: the recipe, the plan and the environment; empty where none was written, or it is damaged.
        history: what happened.
    """

    folder: Path
    config: dict[str, Any]
    history: History

    @property
    def name(self) -> str:
        """What the run is called: its folder's name."""
        return self.folder.resolve().name

    @property
    def num_steps(self) -> int | None:
        """Steps that were planned."""
        return self.known("num_steps")

    @property
    def num_parameters(self) -> int | None:
        """The model's size."""
        return self.known("num_parameters")

    def known(self, key: str) -> Any:
        """What the run's first event says, or its plan; None where neither does."""
        start = self.history.start
        told = start.fields.get(key) if start else None
        return self.table("plan").get(key) if told is None else told

    def table(self, name: str) -> dict[str, Any]:
        """A table of the configuration, empty where there is none."""
        table = self.config.get(name)
        return table if isinstance(table, dict) else {}


def read_run(folder: Path) -> RunRecord:
    """Read a run.

    Raises:
        DataError: the folder holds none.
    """
    if not is_run(folder):
        raise DataError(f"{folder} holds no run: there is no {EVENTS} in it")
    return RunRecord(folder, read_config(folder), History(iter_events(folder / EVENTS)))


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's configuration; empty where there is none yet, or it is damaged."""
    try:
        return read_json(folder / CONFIG)
    except DataError:
        return {}


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's."""
    return (folder / EVENTS).is_file()


def list_runs(folder: Path) -> list[Path]:
    """The runs that lie in a folder, or the folder itself where it is one."""
    if is_run(folder):
        return [folder]
    return sorted(path for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []


def find_run(name: str, runs: Path = RUNS) -> Path:
    """Find the run that a name means: a folder, a run under ``runs``, or the only one that begins so.

    Raises:
        DataError: there is none, with the one that may be meant; or several begin so.
    """
    for path in (Path(name).expanduser(), runs / name):
        if is_run(path):
            return path
    known = {path.name: path for path in list_runs(runs)}
    beginning = [other for other in known if other.startswith(name)] if name else []
    if len(beginning) == 1:
        return known[beginning[0]]
    if beginning:
        raise DataError(f'"{name}" begins {len(beginning)} runs: {_listed(beginning)}; write more of the name')
    if Path(name).is_dir():
        raise DataError(f"{name} holds no run: there is no {EVENTS} in it")
    there = f"The runs in {runs} are: {_listed(known)}" if known else f"{runs} holds no run"
    raise DataError(f'there is no run "{name}"{did_you_mean(name, known)} {there}')


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
