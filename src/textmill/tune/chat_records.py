"""Conversations as files have them: JSON Lines in the forms that are in use, told apart by their keys.

| form     | keys                                            | messages                                                |
|----------|-------------------------------------------------|---------------------------------------------------------|
| OpenAI   | ``messages``: role, content                     | as they are; ``weight: 0`` is not learned               |
| ShareGPT | ``conversations``: from, value; ``system``      | human, gpt and the like become user, assistant; weights |
| Alpaca   | ``instruction``, ``input``, ``output``          | instruction and input, an empty line between; an answer |

Alpaca's ``system`` and ``history`` (pairs of a question and its answer) come before. ``tools`` of a record, a list as
in OpenAI's API or the JSON of one, are for the template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.tune.messages import Message, Tool, checked_message, tools_of
from textmill.tune.preference_records import read_json_lines

# Who speaks in ShareGPT's files.
_SPEAKERS = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
}
# Whom each may follow; None is the beginning.
_AFTER: dict[str, tuple[str | None, ...]] = {
    "system": (None,),
    "developer": (None, "system"),
    "user": (None, "system", "developer", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation that ends with an answer.

    Attributes:
        messages: with ``role`` and ``content``, a text; what else they have is for the template.
        learned: for each message, whether it is an answer to learn.
        where: ``file:line``.
        tools: what the answers may call.
    """

    messages: tuple[Message, ...]
    learned: tuple[bool, ...]
    where: str
    tools: tuple[Tool, ...] = ()


def read_chats(paths: Sequence[Path]) -> Iterator[Chat]:
    """Read conversations in the order of the files and their lines; empty lines are passed over.

    Raises:
        DataError: a line is no conversation, named with its file and line: no JSON, a form that is not known, roles out
            of order, an empty message, no answer at the end, tools that are no list.
        ConfigError: a file cannot be read.
    """
    for where, record in read_json_lines(paths):
        yield chat_of(record, where)


def chat_of(record: Mapping[str, Any], where: str) -> Chat:
    """Read a record in any of the forms; raises as ``read_chats``."""
    if record.get("functions"):
        raise DataError(
            f'{where}: "functions" is OpenAI\'s older form, which templates do not know; give "tools": '
            '[{"type": "function", "function": ...}], or leave this line out'
        )
    if "messages" in record:
        found = _listed(record["messages"], where, "messages")
    elif "conversations" in record:
        found = _of_sharegpt(record, where)
    elif "instruction" in record:
        found = _of_alpaca(record, where)
    else:
        raise DataError(
            f'{where}: no conversation: a line has "messages" (OpenAI), "conversations" (ShareGPT) or "instruction" '
            f'and "output" (Alpaca), and this one has {", ".join(map(repr, record)) or "nothing"}'
        )
    checked = tuple(_checked(message, where, place) for place, message in enumerate(found))
    _check_order(checked, where)
    learned = tuple(message["role"] == "assistant" and message.get("weight", 1) != 0 for message in checked)
    if not any(learned):
        raise DataError(f"{where}: every answer has the weight 0, so there is nothing to learn; leave this line out")
    messages = tuple(_without_weight(message) for message in checked)
    return Chat(messages, learned, where, tools_of(record, where))


def _of_sharegpt(record: Mapping[str, Any], where: str) -> list[Message]:
    messages: list[Message] = []
    if record.get("system"):
        messages.append({"role": "system", "content": record["system"]})
    for place, turn in enumerate(_listed(record["conversations"], where, "conversations")):
        if "role" in turn and "from" not in turn:  # ShareGPT's key around OpenAI's messages
            messages.append(turn)
            continue
        speaker = turn.get("from")
        if not isinstance(speaker, str) or speaker not in _SPEAKERS:
            raise DataError(f"{where}: conversations[{place}] is from {speaker!r}; known are {', '.join(_SPEAKERS)}")
        weight = {"weight": turn["weight"]} if "weight" in turn else {}
        messages.append({"role": _SPEAKERS[speaker], "content": turn.get("value"), **weight})
    return messages


def _of_alpaca(record: Mapping[str, Any], where: str) -> list[Message]:
    messages: list[Message] = []
    if record.get("system"):
        messages.append({"role": "system", "content": record["system"]})
    for place, pair in enumerate(record.get("history") or ()):
        if not isinstance(pair, list) or len(pair) != 2:
            raise DataError(f"{where}: history[{place}] is no pair of a question and its answer")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    asked = [record["instruction"], record.get("input") or ""]
    if not all(isinstance(text, str) for text in asked):
        raise DataError(f'{where}: "instruction" and "input" must be texts')
    if "output" not in record:
        raise DataError(f'{where}: "output" is missing; it is the answer to "instruction"')
    question = "\n\n".join(text for text in asked if text.strip())
    return [*messages, {"role": "user", "content": question}, {"role": "assistant", "content": record["output"]}]


def _listed(value: Any, where: str, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(one, dict) for one in value):
        raise DataError(f'{where}: "{key}" must be a list of messages that is not empty')
    return value


def _checked(message: Mapping[str, Any], where: str, place: int) -> dict[str, Any]:
    """A message with a known role, a text and a weight that is one."""
    checked = checked_message(message, where, f"message {place}")
    weight = message.get("weight", 1)
    if weight not in (0, 1):
        raise DataError(f"{where}: message {place} has the weight {weight!r}; it is 0 (not learned) or 1")
    return checked


def _check_order(messages: Sequence[Message], where: str) -> None:
    before = None
    for place, message in enumerate(messages):
        role = message["role"]
        if before not in _AFTER[role]:
            after = "begins the conversation" if before is None else f"follows one of the role {before!r}"
            raise DataError(
                f"{where}: roles are out of order: message {place} ({role}) {after}; a system message may come first, "
                "then user and assistant take turns, and tools answer an assistant"
            )
        before = role
    if before != "assistant":
        raise DataError(
            f"{where}: the conversation ends with a message of the role {before!r}, which nobody answers; end with an "
            "assistant's, or leave this line out"
        )


def _without_weight(message: Message) -> Message:
    return {key: value for key, value in message.items() if key != "weight"}
