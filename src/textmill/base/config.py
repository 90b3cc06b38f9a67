"""Configuration: TOML for people in, frozen dataclasses inside, JSON for programs out.

A key that no field has is an error that names the nearest one; a value of the wrong type is an error that names the
key, the value and the type. Nothing is dropped silently.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from textmill.base.errors import ConfigError, did_you_mean

T = TypeVar("T")

NOT_A_KEY = {"not_a_key": True}
"""The metadata of a field that programs set and files do not know."""


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises ``ConfigError`` with line and column where it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: byte {error.start} cannot be decoded") from error
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


def parse_setting(setting: str) -> tuple[list[str], Any]:
    """Take apart ``model.hidden_size=256``: the key's parts, and the value as TOML reads it; bare words are strings."""
    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f'"{setting}" is not a setting; write it as table.key=value, as in model.hidden_size=256')
    try:
        value = tomllib.loads(f"value = {text.strip()}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    return parts, value


def apply_settings(table: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return a copy of a TOML table with ``a.b=value`` settings laid over it, in order."""
    result = copy.deepcopy(table)
    for setting in settings:
        parts, value = parse_setting(setting)
        node = result
        for part in parts[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                kind = (
                    f"list: give all of it, as in {part}=[{{...}}]"
                    if isinstance(node, list)
                    else "value and not a table"
                )
                raise ConfigError(f'"{setting}" sets a key inside "{part}", which is a {kind}')
        node[parts[-1]] = value
    return result


def from_table(cls: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Build a frozen dataclass from a TOML or JSON table, checking every key and type.

    Args:
        cls: a dataclass whose fields are bool, int, float, str, tuples, dicts, unions with None, or dataclasses.
        table: keys as in the file. Whole numbers may be written ``6e12``.
        where: dotted path of the table, for messages.

    Raises:
        ConfigError: for an unknown key, a missing one or a value of the wrong type.
    """
    if not isinstance(table, Mapping):
        raise _wrong(where or "the file", table, "a table")
    fields = {field.name.rstrip("_"): field for field in _keys(cls)}
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{where}.{key}" if where else key
        if key not in fields:
            raise ConfigError(
                f'unknown key "{path}"{did_you_mean(key, fields)} Known here: {", ".join(sorted(fields))}'
            )
        name = fields[key].name
        values[name] = _convert(hints[name], value, path)
    for key, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise ConfigError(f'the key "{where + "." if where else ""}{key}" is missing')
    return cls(**values)


def _keys(cls: Any) -> list[dataclasses.Field[Any]]:
    """The fields that a file may name: all but those with ``NOT_A_KEY``."""
    return [field for field in dataclasses.fields(cls) if not field.metadata.get("not_a_key")]


def _convert(kind: Any, value: Any, path: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, path)
    if dataclasses.is_dataclass(kind):
        if isinstance(value, Mapping):
            return from_table(typing.cast(type, kind), value, path)
        raise _wrong(path, value, "a table")
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise ConfigError(
            f'"{path}" is "{value}"{did_you_mean(str(value), map(str, arguments))} '
            f"It may be: {', '.join(map(str, arguments))}"
        )
    if origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(_convert(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
        tables = f" of tables: [[{path}]] in the file, {path}=[{{...}}] in a setting"
        raise _wrong(path, value, f"a list{tables if dataclasses.is_dataclass(arguments[0]) else ''}")
    if origin is dict:
        if isinstance(value, Mapping):
            return {key: _convert(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
        raise _wrong(path, value, "a table")
    return _convert_scalar(kind, value, path)


def _convert_union(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    errors = []
    for kind in arguments:
        if kind is type(None):
            continue
        try:
            return _convert(kind, value, path)
        except ConfigError as error:
            errors.append(error)
    raise errors[0]


def _convert_scalar(kind: type, value: Any, path: str) -> Any:
    if kind is Any or kind is object:
        return value
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, str):
        return value
    if kind in (int, float) and isinstance(value, int | float) and not isinstance(value, bool):
        if kind is float:
            return float(value)
        if math.isfinite(value) and value == int(value):
            return int(value)
        raise _wrong(path, value, "a whole number")
    names = {int: "a whole number", float: "a number", str: "a string in quotes", bool: "true or false"}
    raise _wrong(path, value, names.get(kind, kind.__name__))


def _wrong(path: str, value: Any, wanted: str) -> ConfigError:
    return ConfigError(f'"{path}" is {value!r}, and must be {wanted}')


def to_table(value: Any) -> Any:
    """Turn dataclasses into plain dicts and lists for JSON, with the keys as a file writes them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name.rstrip("_"): to_table(getattr(value, f.name)) for f in _keys(value)}
    if isinstance(value, Mapping):
        return {str(key): to_table(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_table(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value
