"""What a request says that an answer must be, as a grammar."""

from __future__ import annotations

import json
import re
from typing import Any

from textmill.infer.constrain import Grammar
from textmill.serve.api_error import ApiError
from textmill.serve.wire_requests import Generation, ResponseFormat, StructuredOutputs


def grammar_of(body: Generation) -> Grammar | None:
    """The grammar that ``response_format`` asks for, or vLLM's ``structured_outputs`` and ``guided_...``; or none.

    Raises:
        ApiError: several are asked for, or one lacks its schema or pattern.
        ConfigError: the schema, pattern or grammar is wrong.
    """
    asked = [(name, kind, value) for name, kind, value in _asked(body) if value is not None]
    if len(asked) > 1:
        raise ApiError(
            400, f"an answer fits one grammar, and there are several: {', '.join(name for name, *_ in asked)}"
        )
    return _made(*asked[0]) if asked else None


def _asked(body: Generation) -> list[tuple[str, str, Any]]:
    """Where a grammar may be said, what kind it is, and what is said there: None is nothing."""
    outputs = body.structured_outputs or StructuredOutputs()
    wanted = body.response_format
    return [
        ("response_format", "format", None if wanted is None or wanted.type == "text" else wanted),
        ("guided_json", "json", body.guided_json),
        ("guided_regex", "regex", body.guided_regex),
        ("guided_choice", "choice", body.guided_choice),
        ("guided_grammar", "grammar", body.guided_grammar),
        ("structured_outputs.json", "json", outputs.json),
        ("structured_outputs.regex", "regex", outputs.regex),
        ("structured_outputs.choice", "choice", outputs.choice),
        ("structured_outputs.grammar", "grammar", outputs.grammar),
        ("structured_outputs.json_object", "object", outputs.json_object or None),
    ]


def _made(name: str, kind: str, value: Any) -> Grammar:
    match kind:
        case "json":
            return _of_schema(_read(name, value) if isinstance(value, str) else value, name)
        case "regex":
            return Grammar.regex(value)
        case "choice":
            if not value:
                raise ApiError(400, "there is nothing to choose from; give at least one text", param=name)
            return Grammar.regex("|".join(f"(?:{re.escape(text)})" for text in value))
        case "grammar":
            return Grammar.lark(value)
        case "object":
            return Grammar.json_object()
        case _:
            return _of_format(value)


def _of_format(wanted: ResponseFormat) -> Grammar:
    if wanted.type == "regex":
        if wanted.pattern is None:
            raise ApiError(400, 'response_format is a regex and has no "pattern"', param="response_format.pattern")
        return Grammar.regex(wanted.pattern)
    if wanted.type == "json_schema":
        if wanted.json_schema is None or wanted.json_schema.schema is None:
            raise ApiError(
                400,
                'response_format is a json_schema and has none; give {"json_schema": {"name": ..., "schema": {...}}}',
                param="response_format.json_schema",
            )
        return _of_schema(wanted.json_schema.schema, "response_format.json_schema.schema")
    return Grammar.json_object()


def _of_schema(schema: Any, param: str) -> Grammar:
    if not isinstance(schema, dict):
        raise ApiError(400, f'{param} must be an object such as {{"type": "object"}}', param=param)
    return Grammar.json_schema(schema)


def _read(name: str, written: str) -> Any:
    try:
        return json.loads(written)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"{name} is a string that holds no JSON: {error}", param=name) from error
