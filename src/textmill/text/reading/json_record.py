"""One line of JSON as Python reads it: what decides wherever the native parser does not vouch for a line.

It is also that parser's twin: reading every line with it gives the same records.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from textmill.text.readers import describe_not_utf8, kind_of
from textmill.text.reading.records import RecordError

FieldPath = Sequence[str]


class NumberText(str):
    """A number as it is written in JSON."""

    __slots__ = ()


def read_json_line(line: bytes, fields: Sequence[FieldPath], path: str, offset: int) -> list[str] | None:
    """Read the fields of a record; None for a blank line, empty text for null in place of it.

    Args:
        line: without its end.
        fields: the keys of each field from the outermost object inwards; the first field is the text.
        path: the file, and ``offset``: of the line in it, for what an error says.

    Raises:
        RecordError: the line is no JSON, or has no text.
    """
    try:
        decoded = line.decode()
    except UnicodeDecodeError as error:
        what = describe_not_utf8(path, line[error.start :], offset + error.start)
        raise RecordError(what, error.start) from error
    if not decoded.strip():
        return None
    try:
        record = json.loads(decoded, parse_int=NumberText, parse_float=NumberText, parse_constant=NumberText)
    except json.JSONDecodeError as error:
        what = f"is not JSON: {error}. Mend or remove the line"
        raise RecordError(what, len(decoded[: error.pos].encode())) from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"is not JSON: {error}. Mend or remove the line") from error
    return [text_of(record, fields[0]), *(_other_of(record, field) for field in fields[1:])]


def text_of(record: Any, field: FieldPath) -> str:
    """Return a record's text; empty for null.

    Raises:
        RecordError: there is none, or it is no string.
    """
    name = ".".join(field)
    if not isinstance(record, dict):
        raise RecordError(f'is {_kind_of(record)}, and must be an object with the field "{name}"')
    is_there, text = _look_up(record, field)
    if not is_there:
        known = ", ".join(list(record)[:8]) or "none"
        raise RecordError(
            f'has no field "{name}" (fields: {known}); name the text\'s field "{name}", or say what it is called: '
            f"fields.text"
        )
    return "" if text is None else _checked(text, name, "a string", is_text=True)


def _other_of(record: Any, field: FieldPath) -> str:
    _, value = _look_up(record, field)
    return "" if value is None else _checked(value, ".".join(field), "a string or a number", is_text=False)


def _checked(value: Any, name: str, wanted: str, *, is_text: bool) -> str:
    if not isinstance(value, str) or (is_text and isinstance(value, NumberText)):
        raise RecordError(f'has in the field "{name}" {_kind_of(value)}, which must be {wanted}')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RecordError(f'has half of a surrogate pair at character {error.start} of "{name}"') from error
    return value


def _look_up(record: Any, field: FieldPath) -> tuple[bool, Any]:
    """Whether a record has a field, and its value."""
    value = record
    for key in field:
        if not isinstance(value, dict) or key not in value:
            return False, None
        value = value[key]
    return True, value


def _kind_of(value: Any) -> str:
    return "a number" if isinstance(value, NumberText) else kind_of(value)
