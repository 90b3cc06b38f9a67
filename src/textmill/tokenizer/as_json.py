"""Answers of several parts as what JSON can hold."""

from __future__ import annotations

import dataclasses
from typing import Any


def to_json(value: Any) -> Any:
    """Turn nested dataclasses into what JSON can hold; bytes become their hexadecimal and, beside it, their text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        table: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if isinstance(item, bytes):
                table[f"{field.name}_hex"] = item.hex(" ")
                item = item.decode("utf-8", "replace")
            table[field.name] = to_json(item)
        return table
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, bytes):
        return {"hex": value.hex(" "), "text": value.decode("utf-8", "replace")}
    return [to_json(item) for item in value] if isinstance(value, tuple | list) else value
