"""What a message in a file has to have: a role that is known, and a text; and the tools that answers may call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from textmill.base.errors import DataError

Message = Mapping[str, Any]
Tool = Mapping[str, Any]

ROLES = ("system", "developer", "user", "assistant", "tool")


def checked_message(message: Message, where: str, name: str) -> dict[str, Any]:
    """Check a message, and put its content together where that is a list of parts of text.

    Args:
        message: as a file has it; what it holds beside role and content stays.
        where: ``file:line``, for messages.
        name: which of the line's messages it is, for messages.

    Raises:
        DataError: its role is not known, it has no content, a part is no text, or what a user or an assistant says is
            empty; an assistant that calls tools may say nothing.
    """
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise DataError(f"{where}: {name} has the role {role!r}; known are {', '.join(ROLES)}")
    if isinstance(content, list):
        content = _joined(content, where, name)
    calls_tool = role == "assistant" and bool(message.get("tool_calls"))
    if not (content is None and calls_tool) and not isinstance(content, str):
        there = "no content" if content is None else f"the content {content!r:.80}, which is no text"
        raise DataError(f"{where}: {name} ({role}) has {there}; give a text")
    if role in ("user", "assistant") and not calls_tool and not str(content).strip():
        kind = "answer" if role == "assistant" else "message"
        raise DataError(f"{where}: {name} ({role}) is an empty {kind}; give a text, or leave this line out")
    return {**message, "content": content}


def tools_of(record: Mapping[str, Any], where: str) -> tuple[Tool, ...]:
    """The ``tools`` of a record: a list of objects, or the JSON of one; raises ``DataError`` for anything else."""
    tools = record.get("tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except (ValueError, RecursionError) as error:
            raise DataError(f'{where}: "tools" is a text, and no JSON: {error}; give a list of objects') from error
    if not tools:
        return ()
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise DataError(f'{where}: "tools" must be a list of objects: [{{"type": "function", "function": ...}}]')
    return tuple(tools)


def _joined(parts: Sequence[Any], where: str, name: str) -> str:
    for part in parts:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else type(part).__name__
            raise DataError(f"{where}: {name} has a part of the type {kind!r}; only text can be learned")
    return "".join(part["text"] for part in parts)
