"""Chat templates, rendered so that what a message says can never be taken for what the template says.

A template (Jinja) mixes its own text, which holds control tokens such as ``<|im_start|>``, with the text of messages,
which anyone may have written. While it renders, every string of a message is a placeholder that nobody can guess; it
behaves like the string it stands for when the template looks at it or strips it. Afterwards the template's own text and
the messages' are told apart by the placeholders. A second rendering with the plain strings must give the same text;
where it does not, the template does something with strings that cannot be followed, and is refused.
"""

from __future__ import annotations

import datetime
import json
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from textmill.base.errors import ConfigError, DataError

MAX_TEMPLATE_CHARACTERS = 1 << 20
MAX_RENDERED_CHARACTERS = 1 << 26
MAX_DEPTH = 64
_MAX_REPEATED = 1 << 20

# Names of speakers that templates write into control tokens ("<|user|>"); any other name is untrusted text.
KNOWN_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function", "ipython"})


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A Jinja template and the variables it may use.

    Attributes:
        text: the template.
        variables: names and texts of tokens, such as ("bos_token", "<s>").
    """

    text: str
    variables: tuple[tuple[str, str], ...] = ()

    def render(self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool) -> list[tuple[str, bool]]:
        """Render messages to (text, whether the template itself wrote it), in order; the texts together are the whole.

        Raises:
            ConfigError: the messages are not a list of objects that hold text.
            DataError: the template is wrong, raises an exception of its own, or cannot be followed.
        """
        if isinstance(messages, str | bytes) or not all(isinstance(message, Mapping) for message in messages):
            raise ConfigError('messages must be a list of objects such as {"role": "user", "content": "Hello"}')
        now = datetime.datetime.now(tz=datetime.UTC).astimezone()
        placeholders = _Placeholders()
        marked = self._render(_wrap(list(messages), placeholders), add_generation_prompt, now, placeholders)
        plain = self._render(_wrap(list(messages), None), add_generation_prompt, now, None)
        parts = list(placeholders.take_apart(marked))
        if "".join(text for text, _ in parts) != plain:
            raise DataError(
                "the chat template changes the text of messages in a way that cannot be followed, so the text could "
                "not be kept apart from control tokens; simplify what it does with strings"
            )
        return parts

    def _render(
        self, messages: Any, add_generation_prompt: bool, now: datetime.datetime, placeholders: _Placeholders | None
    ) -> str:
        environment = _environment(_Environment(now, placeholders))
        if len(self.text) > MAX_TEMPLATE_CHARACTERS:
            raise DataError(f"the chat template has {len(self.text)} characters of at most {MAX_TEMPLATE_CHARACTERS}")
        pieces: list[str] = []
        size = 0
        try:
            template = jinja2.Template.from_code(environment, _compile(self.text), environment.make_globals(None))
            variables = dict(self.variables)
            for piece in template.generate(messages=messages, add_generation_prompt=add_generation_prompt, **variables):
                size += len(piece)
                if size > MAX_RENDERED_CHARACTERS:
                    raise DataError(f"the chat template writes more than {MAX_RENDERED_CHARACTERS} characters")
                pieces.append(str.__str__(piece))
        except DataError:
            raise
        except (jinja2.TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise DataError(f"the chat template fails: {type(error).__name__}: {error}") from error
        except (RecursionError, MemoryError) as error:
            raise DataError(f"the chat template needs too much: {type(error).__name__}") from error
        return "".join(pieces)


class _Placeholders:
    """Gives out placeholders and finds them again. Its secret holds only digits: no change of case harms it."""

    def __init__(self) -> None:
        self._secret = str(secrets.randbits(128))
        self._values: list[str] = []

    def add(self, value: str) -> str:
        self._values.append(value)
        return f"\ufdd0{self._secret}\ufdd1{len(self._values) - 1}\ufdd0"

    def take_apart(self, text: str) -> Iterator[tuple[str, bool]]:
        at = 0
        for match in re.finditer(f"\ufdd0{self._secret}\ufdd1([0-9]+)\ufdd0", text):
            if match.start() > at:
                yield text[at : match.start()], True
            yield self._values[int(match[1])], False
            at = match.end()
        if at < len(text):
            yield text[at:], True


class _Untrusted(str):
    """A string of a message. Its characters are those of a placeholder; its behaviour is that of the real string."""

    __slots__ = ("_placeholders", "_real")
    _real: str
    _placeholders: _Placeholders

    def __new__(cls, real: str, placeholders: _Placeholders) -> _Untrusted:
        self = super().__new__(cls, placeholders.add(real))
        self._real = real
        self._placeholders = placeholders
        return self

    def __str__(self) -> str:
        return self

    def __eq__(self, other: object) -> bool:
        return self._real == _real(other)

    def __ne__(self, other: object) -> bool:
        return self._real != _real(other)

    def __lt__(self, other: str) -> bool:
        return self._real < _real(other)

    def __le__(self, other: str) -> bool:
        return self._real <= _real(other)

    def __gt__(self, other: str) -> bool:
        return self._real > _real(other)

    def __ge__(self, other: str) -> bool:
        return self._real >= _real(other)

    def __hash__(self) -> int:
        return hash(self._real)

    def __len__(self) -> int:
        return len(self._real)

    def __contains__(self, part: object) -> bool:
        return _real(part) in self._real

    def __iter__(self) -> Iterator[str]:
        return (_Untrusted(character, self._placeholders) for character in self._real)

    def __getitem__(self, index: Any) -> str:
        return _Untrusted(self._real[index], self._placeholders)

    def __format__(self, format_spec: str) -> str:
        return _Untrusted(format(self._real, format_spec), self._placeholders)


def _real(value: Any) -> Any:
    if isinstance(value, _Untrusted):
        return value._real
    if isinstance(value, tuple):
        return tuple(map(_real, value))
    return value


def _through(name: str) -> Callable[..., Any]:
    """Make a method that works on the real string and gives untrusted strings back."""
    method = getattr(str, name)

    def call(self: _Untrusted, *arguments: Any, **keywords: Any) -> Any:
        real_keywords = {key: _real(value) for key, value in keywords.items()}
        result = method(self._real, *map(_real, arguments), **real_keywords)
        return _wrap(result, self._placeholders) if isinstance(result, str | list | tuple) else result

    return call


_FOLLOWED = (
    "capitalize casefold center count endswith expandtabs find index isalnum isalpha isascii isdecimal isdigit "
    "isidentifier islower isnumeric isprintable isspace istitle isupper ljust lower lstrip partition removeprefix "
    "removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title "
    "upper zfill"
).split()
for _name in _FOLLOWED:
    setattr(_Untrusted, _name, _through(_name))


def _wrap(value: Any, placeholders: _Placeholders | None, depth: int = 0) -> Any:
    """Copy what a caller passed, each string as an untrusted one (or plain, without placeholders)."""
    if depth > MAX_DEPTH:
        raise ConfigError(f"a message is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, str):
        return _Untrusted(_real(value), placeholders) if placeholders is not None else value
    if isinstance(value, Mapping):
        return {
            _wrap(key, placeholders, depth + 1): _wrap_role(item)
            if key == "role" and isinstance(item, str) and item in KNOWN_ROLES
            else _wrap(item, placeholders, depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        items = [_wrap(item, placeholders, depth + 1) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ConfigError(f"a message holds a {type(value).__name__}; it may hold text, numbers, lists and objects")


def _wrap_role(role: str) -> str:
    return next(known for known in KNOWN_ROLES if known == role)


@dataclass(slots=True)
class _Environment:
    """What templates find beside the messages."""

    now: datetime.datetime
    placeholders: _Placeholders | None
    functions: dict[str, Callable[..., Any]] = field(init=False)
    range_items: int = 0

    def __post_init__(self) -> None:
        self.functions = {
            "raise_exception": self.raise_exception,
            "strftime_now": self.strftime_now,
            "range": self.limited_range,
        }

    def raise_exception(self, message: str) -> None:
        raise DataError(f"the chat template refuses these messages: {_real(message)}")

    def strftime_now(self, pattern: str) -> str:
        return self.now.strftime(str.__str__(_real(pattern)))

    def limited_range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        self.range_items += len(numbers)
        if self.range_items > _MAX_REPEATED:
            raise DataError(f"the chat template counts through more than {_MAX_REPEATED} numbers")
        return numbers

    def to_json(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        text = json.dumps(
            _unwrap(value), ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )
        return _Untrusted(text, self.placeholders) if self.placeholders is not None else text


def _unwrap(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_real(key): _unwrap(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_unwrap(item) for item in value]
    return _real(value)


class _Sandbox(ImmutableSandboxedEnvironment):
    """No attribute that leads out, no change of what was passed, and no string made huge by one operator."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and isinstance(right, int | float) and abs(right) > 1024:
            raise DataError(f"the chat template raises a number to the power {right}")
        for repeated, times in ((left, right), (right, left)):
            if operator == "*" and isinstance(repeated, str | list | tuple) and isinstance(times, int):
                size = len(repeated) * times
                if size > _MAX_REPEATED:
                    raise DataError(f"the chat template repeats a value to {size} items of at most {_MAX_REPEATED}")
        return super().call_binop(context, operator, left, right)


def _environment(provided: _Environment) -> _Sandbox:
    # Nothing is computed while a template is compiled: the compiled form serves every rendering.
    environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols], optimized=False)
    environment.globals.update(provided.functions)
    environment.filters["tojson"] = provided.to_json
    return environment


@lru_cache(maxsize=16)
def _compile(text: str) -> CodeType:
    return _environment(_Environment(datetime.datetime.min, None)).compile(text)
