"""Lists that a user gives: a text file with an entry a line."""

from __future__ import annotations

from pathlib import Path

from textmill.base.errors import DataError


def read_list(path: Path) -> list[str]:
    """Read the entries of a list, without blank lines and white space at their ends.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or has no entry.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the list {path} cannot be read: {error}; it must be UTF-8 text with an entry a line"
        ) from None
    entries = [line for line in lines if line]
    if not entries:
        raise DataError(f"the list {path} has no entries; leave its setting out if there is nothing to drop")
    return entries
