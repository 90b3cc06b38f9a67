"""Files of records are lines of JSON; one whose ending says something else is refused by name, and not line by line."""

from __future__ import annotations

from pathlib import Path

from textmill.base.errors import DataError
from textmill.text.folders import suffix_of

_OTHER_KINDS = frozenset({".csv", ".tsv", ".parquet", ".html", ".htm", ".zip"})


def check_is_json_lines(path: Path) -> None:
    """Raise ``DataError`` for a file of another kind, packed or not; an ending that says nothing is let through."""
    if suffix_of(path) in _OTHER_KINDS:
        raise DataError(
            f"{path} is a file of the kind {suffix_of(path)}, and what is read here are lines of JSON: .jsonl, .ndjson "
            'and .json, each also .gz or .zst. Convert it: a line for each record, such as {"text": "..."}'
        )
