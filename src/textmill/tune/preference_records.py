"""Preferences as files have them: JSON Lines of a prompt, the answer that was chosen, and the one that was rejected.

| prompt    | chosen, rejected | what it is                                                             |
|-----------|------------------|------------------------------------------------------------------------|
| a text    | texts            | the answer goes on from the prompt as it stands, no template           |
| messages  | messages         | what the assistant says next                                           |
| a text    | messages         | the prompt is what the user says, or what both lists begin with        |
| not there | messages         | both lists begin with the same messages, which are the prompt          |
| not there | texts            | refused: where the prompt ends cannot be told                          |
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from textmill.base.errors import ConfigError, DataError
from textmill.tune.messages import Message, Tool, checked_message, tools_of

# As JSON escapes it, and as bytes that are no UTF-8 but pass json.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")

Side = str | tuple[Message, ...]

RECORD_BYTES_MAX = 1 << 24


@dataclass(frozen=True, slots=True)
class Preference:
    """A pair of answers to one prompt: all texts, or all messages.

    Attributes:
        prompt: what is answered.
        chosen: the better answer.
        rejected: the other one.
        where: ``file:line``.
        tools: what the answers may call.
    """

    prompt: Side
    chosen: Side
    rejected: Side
    where: str
    tools: tuple[Tool, ...] = ()


def read_preferences(paths: Sequence[Path]) -> Iterator[Preference]:
    """Read pairs in the order of the files and their lines; empty lines are passed over.

    Raises:
        DataError: a line is no pair, named with its file and line: no JSON, a key missing or of the wrong kind, an
            empty answer, roles out of order, or both answers the same.
        ConfigError: a file cannot be read.
    """
    for where, record in read_json_lines(paths):
        yield preference_of(record, where)


def read_json_lines(paths: Sequence[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object of JSON Lines files with its ``file:line``; raises as ``read_preferences``."""
    for path in paths:
        try:
            with path.open("rb") as file:
                for where, line in numbered_lines(file, path):
                    yield where, parsed(line, where)
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def numbered_lines(file: BinaryIO, path: Path, num_before: int = 0) -> Iterator[tuple[str, bytes]]:
    """The lines of a file with their ``file:line``, empty ones passed over; raises ``DataError`` for a longer one."""
    number = num_before
    while line := file.readline(RECORD_BYTES_MAX + 1):
        number += 1
        if len(line) > RECORD_BYTES_MAX:
            raise DataError(f"{path}:{number}: the line has more than {RECORD_BYTES_MAX:,} bytes")
        if line.strip():
            yield f"{path}:{number}", line


def prompt_of(record: Mapping[str, Any], where: str) -> Side:
    """The ``prompt`` of a record, a text or messages that end with a user's (or a tool's).

    Raises:
        DataError: there is none, or it cannot be answered.
    """
    prompt = record.get("prompt")
    if isinstance(prompt, str):
        if not prompt.strip():
            raise DataError(f'{where}: "prompt" is empty; give the text that is to be answered')
        return prompt
    messages = _messages(prompt, where, "prompt")
    _check_roles(messages, where, "prompt")
    if messages[-1]["role"] == "assistant":
        raise DataError(
            f'{where}: "prompt" ends with an assistant\'s message, and has to end with what is to be answered'
        )
    return messages


def parsed(line: bytes, where: str) -> dict[str, Any]:
    """The object that a line holds; raises ``DataError`` where it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise DataError(f"{where}: a line must hold an object, and this one holds a {type(record).__name__}")
    if _SURROGATE.search(line):  # most are halves of a pair that is whole
        try:
            json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise DataError(
                f"{where}: holds half of a surrogate pair, which is no character; write the whole character, or leave "
                "this line out"
            ) from error
    return record


def preference_of(record: Mapping[str, Any], where: str) -> Preference:
    """Read a record; raises as ``read_preferences``."""
    for key in ("chosen", "rejected"):
        if key not in record:
            raise DataError(
                f'{where}: "{key}" is missing; a pair has "prompt", "chosen" and "rejected", and this line has '
                f"{', '.join(record) or 'nothing'}"
            )
    sides = record["chosen"], record["rejected"]
    if all(isinstance(side, str) for side in sides):
        pair = _texts(record, where)
    elif all(isinstance(side, list) for side in sides):
        pair = _conversations(record, where)
    else:
        kinds = " and ".join(type(side).__name__ for side in sides)
        raise DataError(f'{where}: "chosen" and "rejected" must be two texts or two lists of messages, and are {kinds}')
    if pair.chosen == pair.rejected:
        raise DataError(f"{where}: chosen and rejected are the same, so neither is preferred; leave this line out")
    return dataclasses.replace(pair, tools=tools_of(record, where))


def _texts(record: Mapping[str, Any], where: str) -> Preference:
    if "prompt" not in record:
        raise DataError(
            f'{where}: "prompt" is missing. Where answers are texts the prompt has to be said; lists of messages may '
            "begin with it"
        )
    prompt = prompt_of(record, where)
    for key in ("chosen", "rejected"):
        if not record[key].strip():
            raise DataError(f'{where}: "{key}" is empty; give an answer, or leave this line out')
    if isinstance(prompt, str):
        return Preference(prompt, record["chosen"], record["rejected"], where)
    chosen, rejected = (({"role": "assistant", "content": record[key]},) for key in ("chosen", "rejected"))
    return Preference(prompt, chosen, rejected, where)


def _conversations(record: Mapping[str, Any], where: str) -> Preference:
    chosen, rejected = (_messages(record[key], where, key) for key in ("chosen", "rejected"))
    shared = _num_shared(chosen, rejected)
    prompt = record.get("prompt")
    if prompt is None or (isinstance(prompt, str) and shared):
        if not shared:
            raise DataError(
                f'{where}: "prompt" is missing, and chosen and rejected do not begin with the same messages; give the '
                "prompt, or let both lists begin with it"
            )
        before = chosen[:shared]
        if isinstance(prompt, str) and not any(message["content"] == prompt for message in before):
            raise DataError(
                f'{where}: "prompt" is none of the messages that chosen and rejected begin with, so it cannot be told '
                "which is meant; leave one of them out"
            )
        chosen, rejected = chosen[shared:], rejected[shared:]
    else:
        said = prompt_of(record, where)
        before = ({"role": "user", "content": said},) if isinstance(said, str) else said
        if shared >= len(before) and chosen[: len(before)] == before:
            chosen, rejected = chosen[len(before) :], rejected[len(before) :]
    for key, side in (("chosen", chosen), ("rejected", rejected)):
        if not side:
            raise DataError(f'{where}: "{key}" has no answer after the prompt; give one, or leave this line out')
        _check_roles((*before, *side), where, key)
        if side[0]["role"] != "assistant":
            raise DataError(
                f'{where}: the answer of "{key}" begins with the role "{side[0]["role"]}", and must be the assistant\'s'
            )
        if side[-1]["role"] != "assistant" or not str(side[-1]["content"] or "").strip():
            raise DataError(f'{where}: "{key}" must end with an assistant\'s message that says something')
    return Preference(before, chosen, rejected, where)


def _num_shared(chosen: Sequence[Message], rejected: Sequence[Message]) -> int:
    """How many messages both begin with; an answer is never among them, for the last message is the assistant's."""
    shared = 0
    for one, other in zip(chosen, rejected, strict=False):
        if one != other:
            break
        shared += 1
    if shared == len(chosen) == len(rejected):  # the same altogether: told as such, not as answers that are missing
        shared -= 1
    while shared and chosen[shared - 1]["role"] == "assistant":
        shared -= 1
    return shared


def _messages(value: Any, where: str, key: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise DataError(f'{where}: "{key}" is {_kind(value)}, and must be a text or a list of messages')
    for place, message in enumerate(value):
        if not isinstance(message, dict) or "role" not in message:
            raise DataError(
                f'{where}: {key}[{place}] is no message; one is written {{"role": "user", "content": "Hello"}}'
            )
    return tuple(checked_message(message, where, f"{key}[{place}]") for place, message in enumerate(value))


def _check_roles(messages: Sequence[Message], where: str, key: str) -> None:
    """A system message comes first if at all; two of a user, or of an assistant, never follow one another."""
    for place, message in enumerate(messages):
        role = message["role"]
        if role == "system" and place:
            raise DataError(f"{where}: {key} has a system message at place {place}, and it must come first")
        if place and role in ("user", "assistant") and messages[place - 1]["role"] == role:
            raise DataError(
                f'{where}: {key} has two messages of the role "{role}" in a row, at places {place - 1} and {place}'
            )
        if not place and role == "assistant":
            raise DataError(f"{where}: {key} begins with an assistant's message, which answers nothing")


def _kind(value: Any) -> str:
    return "missing" if value is None else "empty" if value in ([], "") else f"a {type(value).__name__}"
