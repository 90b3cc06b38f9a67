"""Files that change while they are read: noticed before anything that was made of them counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from textmill.base.errors import DataError
from textmill.text.reading.files import InputFile, version_of

ItemT = TypeVar("ItemT")


def while_unchanged(files: Sequence[InputFile], items: Iterable[ItemT]) -> Iterator[ItemT]:
    """Yield what is read from files; at the end, or at an error, see that they are what they were when they were found.

    Who makes something of the items may count on it only once all of them have come.

    Raises:
        DataError: a file has another size or time of change, or is gone.
    """
    try:
        yield from items
    except Exception:
        check_unchanged(files)  # what looks like damage may be somebody who is writing
        raise
    check_unchanged(files)


def check_unchanged(files: Iterable[InputFile]) -> None:
    """See that files are what they were when they were found.

    Raises:
        DataError: a file has another size or time of change, or is gone.
    """
    for path, what in changes(files):
        raise DataError(
            f"{path} changed while it was read: {what}. Let whoever writes it end, or read a copy of it, and start "
            "again: what was read of it does not count"
        )


def changes(files: Iterable[InputFile]) -> Iterator[tuple[str, str]]:
    """Find the files that are not what they were when they were found: path, and what is different."""
    for path, before in {file.path: file.version for file in files if file.version is not None}.items():
        try:
            now = version_of(path)
        except OSError as error:
            yield path, f"it was there, and now it cannot be found ({error.strerror or error})"
            continue
        if now[0] != before[0]:
            yield path, f"it had {before[0]:,} bytes, and has {now[0]:,}"
        elif now != before:
            yield path, f"it has {now[0]:,} bytes as before, and was written since"
