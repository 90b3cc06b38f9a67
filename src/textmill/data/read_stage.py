"""The first stage, over all sources: every unit that is not there yet is read, on any engine."""

from __future__ import annotations

import json
from pathlib import Path

from textmill.data.engines.engine import Engine
from textmill.data.job import Job
from textmill.data.prepare_listener import PrepareListener
from textmill.data.read_units import ReadTask, chain_file, read_task
from textmill.data.token_units import TokenSettings
from textmill.data.unit_folders import is_whole
from textmill.data.unit_report import bytes_done
from textmill.data.work_folder import WorkFolder

# The units of each source, as names of folders in their order.
Units = dict[str, list[str]]


def read_sources(
    job: Job, work: WorkFolder, engine: Engine, listener: PrepareListener, tokens: dict[str, TokenSettings] | None
) -> Units:
    """Read all sources into ``work.read``; with ``tokens``, settings by source, tokens are made at once.

    Raises:
        DataError: as ``read_task``.
    """
    pipeline = job.pipeline
    tasks: list[ReadTask] = []
    units: Units = {}
    for name, of_source in job.units.items():
        folder = work.read / name
        folder.mkdir(parents=True, exist_ok=True)
        units[name] = []
        for unit in of_source:
            done = _units_of(chain_file(folder, unit))
            if done is not None:
                units[name] += done
                continue
            tasks.append(
                ReadTask(
                    folder,
                    pipeline.steps_of(name),
                    unit,
                    pipeline.run,
                    pipeline.dedup,
                    tokens[name] if tokens else None,
                    engine.threads,
                    job.named,
                    job.hash,
                )
            )
    listener.stage("reading" if tokens is None else "reading and making tokens", job.total_bytes)
    progress = _Progress(work.read, listener)
    progress.poll()
    for names, task_folder in engine.run(read_task, tasks, progress.poll):
        units[task_folder.name] += names
    progress.poll()
    return {name: sorted(names) for name, names in units.items()}


def _units_of(file: Path) -> list[str] | None:
    """The units of a task that is done; None where it is not, or one of them was torn by a crash."""
    try:
        names = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return names if all(is_whole(file.parent / name) for name in names) else None


class _Progress:
    """Looks at what is there: processes and machines tell of their work by leaving it."""

    def __init__(self, folder: Path, listener: PrepareListener) -> None:
        self._folder, self._listener = folder, listener
        self._bytes_of: dict[Path, int] = {}

    def poll(self) -> None:
        """Count the units that have come since."""
        for source in self._folder.iterdir():
            for unit in source.iterdir():
                if unit not in self._bytes_of and unit.is_dir() and not unit.name.startswith("."):
                    self._bytes_of[unit] = bytes_done(unit)
        self._listener.progress(sum(self._bytes_of.values()))
