"""Where chat templates run: without a way out, without changing what they are given, and with bounded work."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from functools import lru_cache
from types import CodeType
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.ext import loopcontrols
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from textmill.base.errors import DataError
from textmill.tokenizer.chat_generation import GenerationMarks
from textmill.tokenizer.chat_strings import Placeholders, Untrusted, real, unwrap
from textmill.tokenizer.chat_work import CALL, COUNTED, SIZED, WEIGHED, Work, charged, instrumented

_MAX_REPEATED = 1 << 20
_MAX_EXPONENT = 1024
# Their cost does not follow from what they are given, or they draw at random; no chat template needs them.
_NO_FILTERS = ("pprint", "random", "striptags", "urlize", "wordwrap", "xmlattr")


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one rendering."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, now: datetime.datetime, placeholders: Placeholders | None) -> None:
        # Nothing is computed while a template is compiled: the compiled form serves every rendering.
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, GenerationMarks], optimized=False
        )
        self._work = Work()
        self._range_items = 0
        self._now = now
        self._placeholders = placeholders
        del self.globals["lipsum"]
        functions: dict[str, Any] = {"raise_exception": self._raise_exception, "strftime_now": self._strftime_now}
        self.globals.update(functions, range=cast(Any, self._limited_range))
        for name in _NO_FILTERS:
            del self.filters[name]
        self.filters["tojson"] = self._to_json
        for name, function in self.filters.items():
            self.filters[name] = charged(name, function, self._work)
        self.filters |= {
            COUNTED: _with_context(self._work.count),
            SIZED: _with_context(self._work.size),
            WEIGHED: _with_context(self._work.weigh),
        }

    def generation_mark(self, *, is_end: bool) -> str:
        """What ``{% generation %}`` and its end write: nothing, where texts are not told apart."""
        return "" if self._placeholders is None else self._placeholders.generation_mark(is_end=is_end)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return instrumented(super()._parse(source, name, filename))

    def call(self, context: jinja2.runtime.Context, function: Any, *arguments: Any, **keywords: Any) -> Any:  # pyrefly: ignore[bad-override]
        """Call a function, a macro or a method, and spend what that costs."""
        self._work.spend(CALL)
        if isinstance(function, LoopContext) and arguments:
            arguments = (self._work.count(arguments[0]), *arguments[1:])
        method = getattr(function, "__wrapped__", function)
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str):
            self._work.before_method(method.__name__, owner, (*arguments, *keywords.values()))
        return self._work.size(super().call(context, function, *arguments, **keywords))

    def call_binop(self, context: jinja2.runtime.Context, operator: str, left: Any, right: Any) -> Any:
        """Compute ``left operator right``, unless that is huge."""
        if operator == "**" and isinstance(right, int | float) and abs(right) > _MAX_EXPONENT:
            raise DataError(f"the chat template raises a number to the power {right}")
        for repeated, times in ((left, right), (right, left)):
            if operator == "*" and isinstance(repeated, str | list | tuple) and isinstance(times, int):
                size = len(repeated) * times
                if size > _MAX_REPEATED:
                    raise DataError(f"the chat template repeats a value to {size} items of at most {_MAX_REPEATED}")
        self._work.before_operator(operator, left, right)
        return self._work.size(super().call_binop(context, operator, left, right))

    @staticmethod
    def _raise_exception(message: str) -> None:
        raise DataError(f"the chat template refuses these messages: {real(message)}")

    def _strftime_now(self, pattern: str) -> str:
        pattern = str.__str__(real(pattern))
        self._work.before_format(pattern, ())
        return self._now.strftime(pattern)

    def _limited_range(self, *bounds: int) -> range:
        numbers = range(*bounds)
        self._range_items += len(numbers)
        if self._range_items > _MAX_REPEATED:
            raise DataError(f"the chat template counts through more than {_MAX_REPEATED} numbers")
        return numbers

    def _to_json(
        self,
        value: Any,
        ensure_ascii: bool = False,
        indent: int | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        text = json.dumps(
            unwrap(value), ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )
        return Untrusted(text, self._placeholders) if self._placeholders is not None else text


def _with_context(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """Make a filter that is never computed while a template is compiled."""
    return jinja2.pass_context(lambda _, value: function(value))


@lru_cache(maxsize=16)
def compiled(text: str) -> CodeType:
    """Compile a template, to run in any ``Sandbox``; raises ``jinja2.TemplateError``."""
    return Sandbox(datetime.datetime.min, None).compile(text)
