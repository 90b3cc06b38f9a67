"""Reading JSON that must have a certain form, with what is wrong said in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.tokenizer.formats.limits import read_limited


def read_json(path: Path) -> Any:
    """Read a JSON file; raises ``DataError`` where it is not UTF-8, not JSON, nested too deeply, or has double keys."""
    data = read_limited(path)
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: byte {error.start} of {len(data)} cannot be decoded") from error
    except RecursionError as error:
        raise DataError(f"{path} is nested too deeply to be a tokenizer") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON: {error}. Is the file complete?") from error


def table_of(value: Any, where: str, known: tuple[str, ...]) -> dict[str, Any]:
    """Return an object that has no key but those that are known."""
    if not isinstance(value, dict):
        raise DataError(f"{where} must be an object, and is {type(value).__name__}")
    for key in value:
        if key not in known:
            raise DataError(f"{where} has {key[:80]!r}, which textmill does not know")
    return value


def list_of(value: Any, where: str) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list, and is {type(value).__name__}")
    return value


def whole_number(value: Any, where: str) -> int:
    """Return a whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DataError(f"{where} is {str(value)[:40]}, and must be a whole number from 0 on")
    return value


def text_of(value: Any, where: str) -> str:
    """Return a text that is not empty and can be written as UTF-8."""
    if not isinstance(value, str) or not value or any(0xD800 <= ord(character) <= 0xDFFF for character in value):
        raise DataError(f"{where} is {str(value)[:80]!r}, and must be a text")
    return value


def type_of(part: Any) -> str:
    """Return what an object says it is, for a message or a comparison."""
    return str(part.get("type", "without a type"))[:80] if isinstance(part, dict) else str(part)[:80]


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError(f"{len(pairs) - len(table)} of {len(pairs)} keys of an object are double")
    return table
