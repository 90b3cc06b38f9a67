"""What is not to be trained on: the items of evaluation sets, read from .jsonl files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.text.compression import open_unpacked
from textmill.text.decontamination.json_files import check_is_json_lines
from textmill.text.folders import Source, paths_of
from textmill.text.readers import read_json_lines

QUESTION_FIELDS = (
    "question", "prompt", "query", "problem", "instruction", "input", "text", "context", "passage", "article", "ctx",
    "goal", "premise", "sentence", "content",
)  # fmt: skip
ANSWER_FIELDS = (
    "answer", "answers", "solution", "response", "output", "completion", "label", "target", "targets", "choices",
    "options", "endings", "canonical_solution",
)  # fmt: skip
CHAT_FIELDS = ("messages", "conversations")


@dataclass(frozen=True, slots=True)
class EvalItem:
    """One item of an evaluation set.

    Attributes:
        id: the file's name and the line, ``gsm8k.jsonl:17``.
        file: the file's name.
        question: what is asked, fields joined by line ends; may be empty.
        answer: what is answered, choices among it; may be empty.
    """

    id: str
    file: str
    question: str
    answer: str


def read_items(
    paths: Source, *, fields: Sequence[str] | None = None, answer_fields: Sequence[str] | None = None
) -> list[EvalItem]:
    """Read evaluation sets: each line of a ``.jsonl`` file (also ``.gz``, ``.zst``) is an item.

    The first line of a task file, which says how its items are put (docs/reference/tasks.md), is none.

    Args:
        paths: files or globs, each read once.
        fields: what makes the question, dotted names for nested ones; those of ``QUESTION_FIELDS`` that a record has,
            in its own order, and what users say in ``messages``, unless given.
        answer_fields: the same for the answer: ``ANSWER_FIELDS``, and what the assistant says.

    Raises:
        DataError: a file is of another kind or cannot be read, a line is no object, or has none of the fields.
    """
    files = list(dict.fromkeys(paths_of(paths)))
    times = Counter(path.name for path in files)
    items = []
    for path in files:
        name = path.name if times[path.name] == 1 else path.as_posix()
        for number, record in _read_records(path):
            question, answer = _parts_of(record, f"{path}, line {number}", fields, answer_fields)
            items.append(EvalItem(f"{name}:{number}", name, question, answer))
    if not items:
        raise DataError(f"there is no item in {', '.join(map(str, files)) or 'no file'}; give .jsonl files with items")
    return items


def strings_in(value: Any) -> Iterator[str]:
    """Yield all strings of a JSON value, in its order; names of fields are none."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value if isinstance(value, list) else value.values():
            yield from strings_in(inner)


def field_of(record: dict[str, Any], name: str) -> Any:
    """Reach for a field by its name, or by a dotted one for fields of fields; None where there is none."""
    if name in record:
        return record[name]
    value: Any = record
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    check_is_json_lines(path)
    with open_unpacked(path) as (file, _):
        for place, (number, record) in enumerate(read_json_lines(file, path)):
            if not isinstance(record, dict):
                raise DataError(f"{path}, line {number} is no JSON object; an item is one, with its fields")
            if place > 0 or set(record) != {"task"} or not isinstance(record["task"], dict):
                yield number, record


def _parts_of(
    record: dict[str, Any], where: str, fields: Sequence[str] | None, answer_fields: Sequence[str] | None
) -> tuple[str, str]:
    asked, answered = _chat_of(record) if fields is None else ([], [])
    question_names = [name for name in record if name in QUESTION_FIELDS] if fields is None else list(fields)
    answer_names = [name for name in record if name in ANSWER_FIELDS] if answer_fields is None else list(answer_fields)
    if not asked and not answered and not any(field_of(record, name) is not None for name in question_names):
        expected = ", ".join(fields or (*QUESTION_FIELDS[:7], "messages"))
        raise DataError(
            f"{where} has none of the fields {expected}; it has {', '.join(list(record)[:8]) or 'none'}. "
            "Name those that hold the question with fields"
        )
    return (
        _joined([*asked, *(field_of(record, name) for name in question_names)]),
        _joined([*answered, *(field_of(record, name) for name in answer_names)]),
    )


def _joined(values: Iterable[Any]) -> str:
    return "\n".join(text for value in values for text in strings_in(value) if text)


def _chat_of(record: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """What was asked and what was answered, in ``messages`` (role, content) or ``conversations`` (from, value)."""
    asked, answered = [], []
    for name in CHAT_FIELDS:
        messages = record.get(name)
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict):
                role = message.get("role", message.get("from"))
                content = message.get("content", message.get("value"))
                (answered if role in ("assistant", "gpt") else asked).append(content)
    return asked, answered
