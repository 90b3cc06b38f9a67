"""One process at a time works in a run's folder: two would write over each other's log and checkpoints."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from textmill.base.errors import ConfigError


class RunLock:
    """Holds a run's folder until its ``with`` block ends; the system gives it free where the process is killed.

    Nothing is written. Where a file system knows no locks, as some of networks do not, nothing is held.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def take(self) -> None:
        """Hold the folder from now on, once it exists.

        Raises:
            ConfigError: another process holds it.
        """
        if self._descriptor is not None or not self._folder.is_dir():
            return
        self._descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"another process trains in {self._folder}; wait for it, or stop it, or choose another folder with "
                "--set run.dir=FOLDER"
            ) from error
        except OSError:
            return  # no locks here
