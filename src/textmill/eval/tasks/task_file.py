"""Task files: JSON lines, of which the first may say how the rest are put and judged.

    {"task": {"kind": "choice", "template": "Question: {question}\\nAnswer:", "shots": 5}}
    {"question": "...", "choices": ["...", "..."], "answer": 1}

An item's answer is what its kind needs: for ``choice`` the number of the right choice, from 0 on, its letter or its
text; a text for ``cloze`` and ``generate``; for ``code`` there are ``tests`` in its place.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import regex

from textmill.base.errors import ConfigError, DataError, did_you_mean
from textmill.eval.results import names_a_file
from textmill.eval.tasks.task import Item, Kind, Settings, Task
from textmill.text.compression import open_unpacked
from textmill.text.readers import kind_of, read_json_lines

_HEADER = "task"
_KINDS = get_args(Kind)
_PLACES = re.compile(r"\{(\w+)\}")
_TEXTS = {"cloze": "answer", "generate": "answer", "code": "tests"}


def read_task(path: Path, *, limit: int | None = None, **changes: Any) -> Task:
    """Read a task file.

    Args:
        path: JSON lines, may be packed (.gz, .zst).
        limit: score so many items at most, the first.
        **changes: settings that take the place of the file's, by name; None changes nothing.

    Raises:
        DataError: a line that cannot be used, with its number and the file.
        ConfigError: a change that cannot be.
    """
    header, records = _read(path)
    given = {name: value for name, value in changes.items() if value is not None}
    settings = _settings(path, header, given, records)
    items = _items(path, records, settings)
    shots: tuple[Item, ...] = ()
    if settings.shots:
        shots, items = _shots(path, settings, items)
    items = items[:limit]
    if not items:
        raise DataError(f"{path} has no item to score; each line is one, such as {_example(settings.kind)}")
    return Task(settings=settings, items=items, shots=shots, sha256=_hash(settings, items, shots))


def _read(path: Path) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]]]:
    records = []
    if path.is_dir():
        raise DataError(f"{path} is a folder; give a task file, of JSON lines")
    with open_unpacked(path) as (file, _):
        for line, record in read_json_lines(file, path):
            if not isinstance(record, dict):
                raise DataError(f"{path}, line {line} is {kind_of(record)}, and must be an object: an item of the task")
            records.append((line, record))
    if not records or set(records[0][1]) != {_HEADER} or not isinstance(records[0][1][_HEADER], dict):
        return {}, records
    return records[0][1][_HEADER], records[1:]


def _settings(
    path: Path, header: Mapping[str, Any], given: Mapping[str, Any], records: list[tuple[int, dict[str, Any]]]
) -> Settings:
    known = get_type_hints(Settings)
    values: dict[str, Any] = {"name": path.name.partition(".")[0]}
    for where, table, error in ((f"{path}, line 1", header, DataError), ("the command", given, ConfigError)):
        for name, value in table.items():
            if name not in known:
                raise error(f'{where} sets "{name}", which tasks do not have{did_you_mean(name, known)}')
            values[name] = _checked(where, name, value, known[name], error)
    _check_name(path, values["name"], header, given)
    if "kind" not in values:
        values["kind"] = _kind_of(path, records)
    if values["kind"] == "code":
        values.setdefault("delimiter", "")
    for name in ("extract", "ignore"):
        for pattern in (values.get(name, ()),) if name == "extract" else values.get(name, ()):
            check_regex(f'{path}, line 1: "{name}"', pattern or "")
    return Settings(**values)


def _check_name(path: Path, name: str, header: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """A task's name is that of its file of results."""
    if names_a_file(name):
        return
    kept = 'results are kept by it, so it must be the name of a file: not empty, without / and \\, no "." first, short'
    if "name" in given:
        raise ConfigError(f'the command: "name" is {json.dumps(name)}; {kept}')
    if "name" in header:
        raise DataError(f'{path}, line 1: "name" is {json.dumps(name)}; {kept}')
    raise DataError(
        f"{path}, line 1 gives the task no name, and the file's own makes it {json.dumps(name)}; {kept}. Set one: "
        '{"task": {"name": "..."}}'
    )


def _checked(where: str, name: str, value: Any, hint: Any, error: type[Exception]) -> Any:
    """A setting's value in its type."""
    choices = get_args(hint) if "Literal" in str(hint) else ()
    if choices:
        if value not in choices:
            raise error(
                f'{where}: "{name}" is {json.dumps(value)}{did_you_mean(str(value), choices)} '
                f"It may be {', '.join(choices)}"
            )
        return value
    if hint == tuple[str, ...]:
        value = [value] if isinstance(value, str) else value
        if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
            return tuple(value)
        raise error(f'{where}: "{name}" must be a string or a list of strings')
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not hint:
        raise error(f'{where}: "{name}" is {kind_of(value)} ({json.dumps(value)}), and must be {_TYPES[hint]}')
    low, high = _RANGES.get(name, (None, None))
    if low is not None and not low <= value <= high:
        raise error(f'{where}: "{name}" is {value}, and must be {low} to {high}')
    return value


_TYPES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}
_RANGES = {
    "shots": (0, 1000),
    "max_tokens": (1, 1 << 20),
    "temperature": (0.0, 100.0),
    "seed": (0, (1 << 63) - 1),
    "samples": (1, 1024),
    "timeout_s": (0.1, 3600.0),
    "memory_mb": (64, 1 << 20),
}


def _kind_of(path: Path, records: list[tuple[int, dict[str, Any]]]) -> Kind:
    """The kind that the first item's fields leave no doubt of."""
    if not records:
        return "choice"
    line, record = records[0]
    if "choices" in record:
        return "choice"
    if "tests" in record:
        return "code"
    raise DataError(
        f"{path}, line {line} has neither choices nor tests, so it may be a cloze or generated: say which in a first "
        'line: {"task": {"kind": "cloze"}}, or "generate"'
    )


def _items(path: Path, records: list[tuple[int, dict[str, Any]]], settings: Settings) -> tuple[Item, ...]:
    items = []
    lines: dict[str, int] = {}
    for line, record in records:
        item = _item(f"{path}, line {line}", line, record, settings)
        if item.id in lines:
            raise DataError(f'{path}, line {line} has the id "{item.id}", which line {lines[item.id]} has, too')
        lines[item.id] = line
        items.append(item)
    return tuple(items)


def _item(where: str, line: int, record: dict[str, Any], settings: Settings) -> Item:
    name = record.get("id", f"line {line}")
    if not isinstance(name, str | int) or isinstance(name, bool):
        raise DataError(f"{where}: the id is {kind_of(name)}, and must be a string or a whole number")
    name = _text(where, {"id": str(name)}, "id")
    fields: dict[str, Any] = {"id": name, "line": line, "prompt": _fill(where, settings.template, record)}
    if settings.kind == "choice":
        fields["choices"] = _choices(where, record)
        fields["answer"] = _number_of(where, record, fields["choices"])
    else:
        needed = _TEXTS[settings.kind]
        fields[needed] = _text(where, record, needed)
        if settings.kind == "code" and "answer" in record:
            fields["answer"] = _text(where, record, "answer")
        if settings.kind == "cloze" and not fields["answer"].strip():
            raise DataError(f"{where}: the answer is empty, so there is nothing to score")
        if settings.kind == "generate" and settings.match == "regex":
            check_regex(f'{where}: "answer"', fields["answer"])
    return Item(**fields)


def _fill(where: str, template: str, record: dict[str, Any]) -> str:
    def value(found: re.Match[str]) -> str:
        return _text(where, record, found[1], numbers=True)

    text = _PLACES.sub(value, template)
    if not text.strip():
        raise DataError(f"{where}: the prompt is empty")
    return text


def _text(where: str, record: dict[str, Any], name: str, *, numbers: bool = False) -> str:
    if name not in record:
        known = ", ".join(list(record)[:8]) or "none"
        raise DataError(f'{where} has no field "{name}" (fields: {known}){did_you_mean(name, record)}'.rstrip("."))
    value = record[name]
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise DataError(f'{where}: the field "{name}" is {kind_of(value)}, and must be a string')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f'{where}: "{name}" holds half of a surrogate pair at character {error.start}') from error
    return value


def _choices(where: str, record: dict[str, Any]) -> tuple[str, ...]:
    choices = record.get("choices")
    if not isinstance(choices, list) or len(choices) < 2:
        number = f", {len(choices)} of them" if isinstance(choices, list) else ""
        raise DataError(f'{where}: "choices" is {kind_of(choices)}{number}, and must be a list of two or more strings')
    texts = tuple(_text(where, {f"choices[{i}]": choice}, f"choices[{i}]") for i, choice in enumerate(choices))
    for number, text in enumerate(texts):
        if not text.strip():
            raise DataError(f"{where}: choice {number} is empty, so there is nothing to score")
        if text in texts[:number]:
            raise DataError(f"{where}: choices {texts.index(text)} and {number} are equal: {text!r}")
    return texts


def _number_of(where: str, record: dict[str, Any], choices: tuple[str, ...]) -> int:
    """The number of the right choice, given as it is, by its text, or by its letter."""
    if "answer" not in record:
        raise DataError(
            f'{where} has no field "answer": the number of the right choice (from 0 on), its letter or text'
        )
    answer = record["answer"]
    if isinstance(answer, str):
        if answer in choices:
            return choices.index(answer)
        if len(answer) == 1 and answer in string.ascii_uppercase:
            answer = string.ascii_uppercase.index(answer)
        elif answer.isdecimal() and answer.isascii():
            answer = int(answer)
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        last = string.ascii_uppercase[min(len(choices), 26) - 1]
        raise DataError(
            f"{where}: the answer is {json.dumps(record['answer'])}, and must be a number from 0 to "
            f"{len(choices) - 1}, a letter from A to {last}, or the text of a choice"
        )
    return answer


def _shots(path: Path, settings: Settings, items: tuple[Item, ...]) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """The examples, and the items that are left to score: the same examples for all, so they are computed once."""
    if settings.shots_from:
        source = path.parent / settings.shots_from
        _, records = _read(source)
        examples = _items(source, records, settings)
    else:
        source, examples = path, items
        items = items[settings.shots :]
    if len(examples) < settings.shots:
        raise DataError(f"{source} has {len(examples):,} items, and {settings.shots} are to be examples")
    shots = examples[: settings.shots]
    for shot in shots:
        if not shot.answer_text:
            raise DataError(f'{source}, line {shot.line} is to be an example, and has no "answer"')
    return shots, items


def check_regex(where: str, pattern: str) -> None:
    """Raise ``DataError`` where a pattern is no regular expression."""
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise DataError(f"{where} is no regular expression: {error}") from error


def _hash(settings: Settings, items: tuple[Item, ...], shots: tuple[Item, ...]) -> str:
    content = [dataclasses.asdict(settings), [_content(item) for item in items], [_content(shot) for shot in shots]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _content(item: Item) -> list[Any]:
    return [item.id, item.prompt, item.choices, item.answer, item.tests]


def _example(kind: Kind) -> str:
    return {
        "choice": '{"prompt": "...", "choices": ["...", "..."], "answer": 0}',
        "cloze": '{"prompt": "...", "answer": "..."}',
        "generate": '{"prompt": "...", "answer": "..."}',
        "code": '{"prompt": "...", "tests": "assert ..."}',
    }[kind]
