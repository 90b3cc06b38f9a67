"""The folder in which a pipeline is at work: what it has done is found again by a second start, and by nobody else's.

OUTPUT/.work/
├── lock                    held while a process is at work here
├── job.json                what is done: a hash of settings, input and _WORK_VERSION (job); another one starts afresh
├── read/SOURCE/UNIT/       texts that are kept, their names, keys, what happened (unit_folders)
├── read/SOURCE/CHAIN.done  the units that a chain has
├── duplicates/             which documents stay
├── tokens/SOURCE/UNIT/     a shard file and its part of the index
└── sets/                   shard sets that are about to take their places
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from textmill.base.errors import ConfigError
from textmill.base.files import storage_errors, write_file

NAME = ".work"
_JOB = "job.json"
_LOCK = "lock"


class WorkFolder:
    """A pipeline's folder of work, claimed by this process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def read(self) -> Path:
        """Where units of input go."""
        return self.path / "read"

    @property
    def duplicates(self) -> Path:
        """Where it stands which documents stay."""
        return self.path / "duplicates"

    @property
    def tokens(self) -> Path:
        """Where units of tokens go."""
        return self.path / "tokens"

    @property
    def sets(self) -> Path:
        """Where shard sets are put together."""
        return self.path / "sets"

    def remove(self) -> None:
        """Take the folder away: everything is in its place."""
        shutil.rmtree(self.path, ignore_errors=True)


@contextlib.contextmanager
def claimed(output: Path, job: str) -> Iterator[tuple[WorkFolder, bool]]:
    """Claim the folder of work below an output folder, for a job of a certain hash.

    Yields the folder, and whether it holds work of the same job, which goes on. Work of another job is removed.

    Raises:
        ConfigError: another process is at work there.
        StorageError: it cannot be written.
    """
    path = output / NAME
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        with (path / _LOCK).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"another textmill is at work on {output}; wait until it ends, or set another output.dir"
                ) from error
            goes_on = _job_of(path) == job
            if not goes_on:
                for entry in path.iterdir():
                    if entry.name != _LOCK:
                        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                write_file(path / _JOB, json.dumps({"job": job}))
            yield WorkFolder(path), goes_on


def _job_of(path: Path) -> str | None:
    try:
        return json.loads((path / _JOB).read_text())["job"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
