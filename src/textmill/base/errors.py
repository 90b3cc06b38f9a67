"""The errors a user can meet, and the exit code each one ends a command with.

    TextmillError                      1   the run failed
    ├── ConfigError (ValueError)       2   a recipe, an option or an argument is wrong
    │   └── MissingExtraError          2   an optional part of textmill is not installed
    ├── DataError (ValueError)         3   text, a tokenizer, a model or a checkpoint is bad
    ├── StorageError (OSError)         1   the disk is full or cannot be written
    └── StoppedError               130/143 the user or the system asked the run to stop

A message says what happened (with both numbers), why, and what to do.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class TextmillError(Exception):
    """Anything textmill reports to its user instead of a traceback."""

    exit_code = 1


class ConfigError(TextmillError, ValueError):
    """A recipe, an option or an argument that cannot be used as it is."""

    exit_code = 2


class MissingExtraError(ConfigError):
    """An optional dependency is needed and not installed."""


class DataError(TextmillError, ValueError):
    """Input that cannot be used: text, a tokenizer, a shard, a model or a checkpoint."""

    exit_code = 3


class StorageError(TextmillError, OSError):
    """A file could not be written: the disk is full, or the folder is not writable."""


class StoppedError(TextmillError):
    """The run was asked to stop by a signal and did so after a whole checkpoint."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End a sentence about a wrong name with the nearest known one: ``; did you mean "model"?``, or a full stop."""
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f'; did you mean "{nearest[0]}"?' if nearest else "."


def require_extra(module: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional dependency, or raise ``MissingExtraError`` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"{purpose} needs {module}, which is not installed: pip install 'textmill[{extra}]'"
        ) from error
