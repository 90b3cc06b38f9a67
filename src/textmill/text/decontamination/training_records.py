"""The text of a training record, whatever it trains: pretraining, chats, instructions, preferences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from textmill.text.decontamination.items import field_of, strings_in
from textmill.text.readers import describe_not_utf8
from textmill.text.reading.records import RecordError

TEXT_FIELDS = (
    "text", "messages", "conversations", "system", "instruction", "prompt", "question", "query", "input", "context",
    "chosen", "rejected", "output", "answer", "response", "completion",
)  # fmt: skip
"""Pretraining's; OpenAI's and ShareGPT's chats; Alpaca's instructions; preferences' prompt, chosen and rejected."""
_NAMES_IN_MESSAGES = ("content", "value")


def read_record(line: bytes, path: str, offset: int) -> Any:
    """Parse a line of a ``.jsonl`` file, which begins at a byte of it.

    Raises:
        RecordError: it is not UTF-8, or no JSON.
    """
    line = line.rstrip(b"\r\n")
    try:
        decoded = line.decode("utf-8-sig" if offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        what = describe_not_utf8(path, line[error.start :], offset + error.start)
        raise RecordError(what, error.start) from error
    try:
        return json.loads(decoded)
    except json.JSONDecodeError as error:
        place = len(line) - len(decoded[error.pos :].encode())  # counted from the end, as a byte order mark is left out
        raise RecordError(f"is not JSON: {error}. Mend or remove the line", place) from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"is not JSON: {error}. Mend or remove the line") from error


def text_of_record(record: Any, fields: Sequence[str] | None = None) -> str:
    """Join all text that a record would train on, fields and messages in its own order.

    Args:
        record: a line's JSON value.
        fields: names, dotted for nested ones; ``TEXT_FIELDS`` that it has unless given.

    Raises:
        RecordError: the record is no object, has none of the fields, or its text is no Unicode.
    """
    if not isinstance(record, dict):
        raise RecordError("is no JSON object; a record is one, with its fields")
    values = [field_of(record, name) for name in _names(record, fields)]
    if all(value is None for value in values):
        expected = ", ".join(fields or ("text", "messages", "conversations", "instruction", "prompt", "chosen"))
        raise RecordError(
            f"has none of the fields {expected}; it has {', '.join(list(record)[:8]) or 'none'}. "
            "Name those that hold text with fields"
        )
    text = "\n".join(text for value in values for text in _texts_in(value) if text)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RecordError(f"has half of a surrogate pair at character {error.start} of its text") from error
    return text


def with_only_text(record: dict[str, Any], text: str, fields: Sequence[str] | None = None) -> bool:
    """Put a text in the place of a record's own, where all of that is one string.

    Returns False where there are several, or they are messages: what is left of one would train something else.
    """
    texts = {name: list(_texts_in(field_of(record, name))) for name in _names(record, fields)}
    names = [name for name, of_field in texts.items() if any(of_field)]
    if len(names) != 1 or not isinstance(field_of(record, names[0]), str):
        return False
    *outer, last = [names[0]] if names[0] in record else names[0].split(".")
    for key in outer:
        record = record[key]
    record[last] = text
    return True


def _names(record: dict[str, Any], fields: Sequence[str] | None) -> list[str]:
    """The fields of a record that are looked at."""
    return [name for name in record if name in TEXT_FIELDS] if fields is None else list(fields)


def _texts_in(value: Any) -> list[str]:
    """The strings of a field; of messages their content, without roles."""
    if isinstance(value, list):
        return [text for message in value for text in _texts_in(message)]
    if isinstance(value, dict) and any(name in value for name in _NAMES_IN_MESSAGES):
        return [text for name in _NAMES_IN_MESSAGES for text in strings_in(value.get(name))]
    return list(strings_in(value))
