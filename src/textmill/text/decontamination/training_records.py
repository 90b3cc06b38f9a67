"""The text of a training record, whatever it trains: pretraining, chats, instructions, preferences."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.text.decontamination.items import field_of, strings_in
from textmill.text.readers import not_utf8

TEXT_FIELDS = (
    "text", "messages", "conversations", "system", "instruction", "prompt", "question", "query", "input", "context",
    "chosen", "rejected", "output", "answer", "response", "completion",
)  # fmt: skip
"""Pretraining's; OpenAI's and ShareGPT's chats; Alpaca's instructions; preferences' prompt, chosen and rejected."""
_NAMES_IN_MESSAGES = ("content", "value")


def text_of_record(record: Any, where: str, fields: Sequence[str] | None = None) -> str:
    """Join all text that a record would train on, fields and messages in its own order.

    Args:
        record: a line's JSON value.
        where: file and line, for the message.
        fields: names, dotted for nested ones; ``TEXT_FIELDS`` that it has unless given.

    Raises:
        DataError: the record is no object, or has none of the fields.
    """
    if not isinstance(record, dict):
        raise DataError(f"{where} is no JSON object; a record is one, with its fields")
    names = [name for name in record if name in TEXT_FIELDS] if fields is None else list(fields)
    values = [field_of(record, name) for name in names]
    if all(value is None for value in values):
        expected = ", ".join(fields or ("text", "messages", "conversations", "instruction", "prompt", "chosen"))
        raise DataError(
            f"{where} has none of the fields {expected}; it has {', '.join(list(record)[:8]) or 'none'}. "
            "Name those that hold text with fields"
        )
    return "\n".join(text for value in values for text in _texts_in(value) if text)


def read_record(line: bytes, path: Path, number: int, offset: int) -> Any:
    """Parse a line of a ``.jsonl`` file, which begins at a byte of it.

    Raises:
        DataError: it is not UTF-8, or no JSON.
    """
    try:
        return json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise not_utf8(path, line[error.start :], offset + error.start, number) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}, line {number} is not JSON: {error}. Mend or remove the line") from error


def _texts_in(value: Any) -> list[str]:
    """The strings of a field; of messages their content, without roles."""
    if isinstance(value, list):
        return [text for message in value for text in _texts_in(message)]
    if isinstance(value, dict) and any(name in value for name in _NAMES_IN_MESSAGES):
        return [text for name in _NAMES_IN_MESSAGES for text in strings_in(value.get(name))]
    return list(strings_in(value))
