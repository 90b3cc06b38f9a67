"""The stage of tokens, over all sources, on any engine."""

from __future__ import annotations

from textmill.data.duplicates import Found
from textmill.data.engines.engine import Engine
from textmill.data.prepare_listener import PrepareListener
from textmill.data.read_stage import Units
from textmill.data.token_tasks import TokenTask, token_task
from textmill.data.token_units import TokenSettings
from textmill.data.work_folder import WorkFolder


def make_tokens(
    work: WorkFolder,
    units: Units,
    found: Found,
    settings: dict[str, TokenSettings],
    *,
    engine: Engine,
    listener: PrepareListener,
) -> None:
    """Make tokens of the documents that stay, into ``work.tokens``.

    Raises:
        StorageError: the disk is full.
    """
    tasks = [
        TokenTask(
            work.read / name / unit,
            found.sizes_of(name, unit),
            work.tokens / name / unit,
            settings[name],
            engine.threads,
        )
        for name, names in units.items()
        for unit in names
    ]
    listener.stage("making tokens", found.read_bytes)
    done_bytes = 0
    for num_bytes in engine.run(token_task, tasks, lambda: None):
        done_bytes += num_bytes
        listener.progress(done_bytes)
