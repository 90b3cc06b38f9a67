"""What is wrong with a model, as a message that names its file and can be printed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from textmill.base.errors import DataError


@contextlib.contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Raise any ``ValueError`` as a ``DataError`` that names the file, once."""
    try:
        yield
    except ValueError as error:
        # What a file holds may hold lone surrogates, which cannot be printed.
        message = str(error).encode(errors="backslashreplace").decode()
        raise DataError(message if str(path) in message else f"{path} cannot be used: {message}") from error
