"""Strings of messages while a chat template is rendered: placeholders that behave like the strings they stand for."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from textmill.base.errors import ConfigError

MAX_DEPTH = 64

# Names of speakers that templates write into control tokens ("<|user|>"); any other name is untrusted text.
KNOWN_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function", "ipython"})


_BEGIN, _END = "\ufdd2", "\ufdd3"


class RenderedPart(NamedTuple):
    """A part of what a template wrote.

    Attributes:
        text: the part.
        is_template: whether the template itself wrote it, and no message.
        is_generation: whether it stands in a block that the model is to write.
    """

    text: str
    is_template: bool
    is_generation: bool


class Placeholders:
    """Gives out placeholders and finds them again. Its secret holds only digits: no change of case harms it."""

    def __init__(self) -> None:
        self._secret = str(secrets.randbits(128))
        self._values: list[str] = []

    def add(self, value: str) -> str:
        """Return the placeholder of a string."""
        self._values.append(value)
        return f"\ufdd0{self._secret}\ufdd1{len(self._values) - 1}\ufdd0"

    def generation_mark(self, *, is_end: bool) -> str:
        """What stands where a block that the model is to write begins or ends."""
        return f"\ufdd0{self._secret}{_END if is_end else _BEGIN}\ufdd0"

    def take_apart(self, text: str) -> Iterator[RenderedPart]:
        """Yield the texts of a rendering in order, placeholders replaced and marks taken out."""
        at, depth = 0, 0
        for match in re.finditer(f"\ufdd0{self._secret}(?:\ufdd1([0-9]+)|([{_BEGIN}{_END}]))\ufdd0", text):
            if match.start() > at:
                yield RenderedPart(text[at : match.start()], True, depth > 0)
            if match[1] is None:
                depth += -1 if match[2] == _END else 1
            else:
                yield RenderedPart(self._values[int(match[1])], False, depth > 0)
            at = match.end()
        if at < len(text):
            yield RenderedPart(text[at:], True, depth > 0)


class Untrusted(str):
    """A string of a message. Its characters are those of a placeholder; its behaviour is that of the real string."""

    __slots__ = ("_placeholders", "_real")
    _real: str
    _placeholders: Placeholders

    def __new__(cls, text: str, placeholders: Placeholders) -> Untrusted:
        """Stand for a text."""
        self = super().__new__(cls, placeholders.add(text))
        self._real = text
        self._placeholders = placeholders
        return self

    def __str__(self) -> str:
        return self

    def __eq__(self, other: object) -> bool:
        return self._real == real(other)

    def __ne__(self, other: object) -> bool:
        return self._real != real(other)

    def __lt__(self, other: str) -> bool:
        return self._real < real(other)

    def __le__(self, other: str) -> bool:
        return self._real <= real(other)

    def __gt__(self, other: str) -> bool:
        return self._real > real(other)

    def __ge__(self, other: str) -> bool:
        return self._real >= real(other)

    def __hash__(self) -> int:
        return hash(self._real)

    def __len__(self) -> int:
        return len(self._real)

    def __contains__(self, part: object) -> bool:
        return real(part) in self._real

    def __iter__(self) -> Iterator[str]:
        return (Untrusted(character, self._placeholders) for character in self._real)

    def __getitem__(self, index: Any) -> str:
        return Untrusted(self._real[index], self._placeholders)

    def __format__(self, format_spec: str) -> str:
        return Untrusted(format(self._real, format_spec), self._placeholders)


def real(value: Any) -> Any:
    """Return the string that a placeholder stands for; any other value as it is."""
    if isinstance(value, Untrusted):
        return value._real
    if isinstance(value, tuple):
        return tuple(map(real, value))
    return value


def _through(name: str) -> Callable[..., Any]:
    """Make a method that works on the real string and gives untrusted strings back."""
    method = getattr(str, name)

    def call(self: Untrusted, *arguments: Any, **keywords: Any) -> Any:
        real_keywords = {key: real(value) for key, value in keywords.items()}
        result = method(self._real, *map(real, arguments), **real_keywords)
        return wrap(result, self._placeholders) if isinstance(result, str | list | tuple) else result

    call.__name__ = name
    return call


_FOLLOWED = (
    "capitalize casefold center count endswith expandtabs find index isalnum isalpha isascii isdecimal isdigit "
    "isidentifier islower isnumeric isprintable isspace istitle isupper ljust lower lstrip partition removeprefix "
    "removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title "
    "upper zfill"
).split()
for _name in _FOLLOWED:
    setattr(Untrusted, _name, _through(_name))


def wrap(value: Any, placeholders: Placeholders | None, depth: int = 0) -> Any:
    """Copy what a caller passed, each string as an untrusted one (or plain, without placeholders)."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"a message is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        return Untrusted(real(value), placeholders) if placeholders is not None else value
    if isinstance(value, Mapping):
        return {
            wrap(key, placeholders, depth + 1): _wrap_role(item)
            if key == "role" and isinstance(item, str) and item in KNOWN_ROLES
            else wrap(item, placeholders, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        items = [wrap(item, placeholders, depth + 1) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ConfigError(f"a message holds a {type(value).__name__}; it may hold text, numbers, lists and objects")


def _wrap_role(role: str) -> str:
    return next(known for known in KNOWN_ROLES if known == role)


def unwrap(value: Any) -> Any:
    """Copy a value with the strings that its placeholders stand for."""
    if isinstance(value, Mapping):
        return {real(key): unwrap(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [unwrap(item) for item in value]
    return real(value)
