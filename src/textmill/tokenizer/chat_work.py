"""How much work a chat template may do: loops, calls and the sizes of what it makes are counted, and end in an error.

Templates come with models that anyone may have made, and a few words of one can ask for more than any machine does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.visitor import NodeTransformer

from textmill.base.errors import DataError
from textmill.tokenizer.chat_strings import real

MAX_WORK = 1 << 28  # in characters
STEP = 128  # what a turn of a loop or a filter costs
CALL = 4 * STEP  # of a macro, a method or a recursive loop

COUNTED, SIZED, WEIGHED = "_counted", "_sized", "_weighed"  # filters that are put into templates

# What these are given is not turned into text, so that only its own items count.
_OF_ITEMS = frozenset(
    "attr batch count d default dictsort first groupby items last length list map max min reject rejectattr reverse "
    "select selectattr slice sort sum unique".split()
)
_WIDENING = frozenset({"batch", "center", "indent", "slice", "tojson"})
_PADDING = frozenset({"center", "ljust", "rjust", "zfill"})
_NUMBER = re.compile(r"\d+")


class Work:
    """What is left of the work that one rendering may do."""

    def __init__(self) -> None:
        self._left = MAX_WORK

    def spend(self, num_characters: int) -> None:
        """Take something off; raises ``DataError`` where too little is left."""
        self._left -= num_characters
        if self._left < 0:
            raise DataError(
                f"the chat template does more than {MAX_WORK // STEP:,} steps of work (turns of loops, calls, or "
                f"{STEP} characters each): it may never end, or the messages are too long for it"
            )

    def count(self, items: Iterable[Any]) -> Iterator[Any]:
        """Go through items, each of which costs a step."""
        for item in items:
            self.spend(STEP)
            yield item

    def weigh(self, value: Any) -> Any:
        """Spend what it costs to turn a value into text or to compare it; return it."""
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, str):
                self.spend(len(item))
            elif isinstance(item, Mapping):
                self.spend(STEP + len(item))
                waiting += [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple):
                self.spend(STEP + len(item))
                waiting += item
        return value

    def size(self, value: Any) -> Any:
        """Spend the length of a text or a list; return it."""
        if isinstance(value, str | list | tuple | Mapping):
            self.spend(len(value))
        return value

    def before_method(self, name: str, text: str, arguments: tuple[Any, ...]) -> None:
        """Spend what a method of a string will cost, where that does not follow from the string's own length."""
        self.spend(len(text))
        numbers = [number for number in arguments if isinstance(number, int)]
        if name in _PADDING:
            self.spend(max(numbers, default=0))
        elif name == "expandtabs":
            self.spend(len(text) * max([8, *numbers]))
        elif name == "replace" and len(arguments) >= 2:
            self.spend(str(real(text)).count(str(real(arguments[0]))) * len(arguments[1]))
        elif name == "join" and arguments:
            self._before_join(text, arguments[0])
        elif name in {"format", "format_map"}:
            self.before_format(text, arguments)

    def before_format(self, pattern: str, values: Any) -> None:
        """Spend what filling in a pattern costs: its widths, and the values."""
        pattern = real(pattern)
        for number in _NUMBER.findall(pattern):
            self.spend(int(number) if len(number) < 10 else MAX_WORK + 1)
        items = values.values() if isinstance(values, Mapping) else values if isinstance(values, tuple) else (values,)
        may_be_width = "*" in pattern or re.search(r"\{[^{}]*\{", pattern)
        for item in items:
            self.weigh(item)
            if may_be_width and isinstance(item, int):
                self.spend(abs(item))

    def before_operator(self, operator: str, left: Any, right: Any) -> None:
        """Spend what an operator costs that makes something huge of something small."""
        are_whole = isinstance(left, int) and isinstance(right, int)
        if operator == "%" and isinstance(left, str):
            self.before_format(left, right)
        elif operator == "**" and are_whole:
            self.spend(left.bit_length() * abs(right))
        elif operator == "*" and are_whole:
            self.spend(left.bit_length() * right.bit_length() // STEP)
        elif operator == "*":
            repeated, times = (right, left) if isinstance(left, int) else (left, right)
            if isinstance(repeated, str | list | tuple) and isinstance(times, int):
                self.spend(len(repeated) * max(times, 0))

    def before_filter(self, name: str, value: Any, arguments: tuple[Any, ...]) -> None:
        """Spend what a filter will cost."""
        self.spend(STEP)
        size = len(value) if isinstance(value, str | list | tuple | Mapping) else 0
        if name in _OF_ITEMS:
            self.spend(size)
        else:
            self.weigh(value)
        if name in _WIDENING:
            self.spend((size + 1) * max((abs(number) for number in arguments if isinstance(number, int)), default=0))
        elif name == "join" and isinstance(value, str | list | tuple | Mapping):
            self._before_join(str(arguments[0]) if arguments else "", value)
        elif name == "replace" and isinstance(value, str):
            self.before_method(name, value, arguments)
        elif name == "format" and isinstance(value, str):
            self.before_format(value, arguments)
        elif name in {"select", "selectattr", "reject", "rejectattr"}:  # each item is compared with what is given
            self.spend(size * sum(len(item) for item in arguments if isinstance(item, str | list | tuple | Mapping)))
        elif name == "sum" and any(isinstance(start, list | tuple) for start in arguments):
            raise DataError("the chat template adds up lists with the filter sum, which is refused")

    def _before_join(self, separator: str, items: Any) -> None:
        if isinstance(items, str | list | tuple | Mapping):
            self.spend(len(separator) * len(items))
            self.weigh(list(items))


def charged(name: str, function: Callable[..., Any], work: Work) -> Callable[..., Any]:
    """Make of a filter one that spends; it takes the context, so that it is never computed while compiling."""
    takes = getattr(function, "jinja_pass_arg", None)

    @jinja2.pass_context
    def call(context: jinja2.runtime.Context, value: Any = "", /, *arguments: Any, **keywords: Any) -> Any:
        if isinstance(value, Iterator):
            value = list(work.count(value))
        work.before_filter(name, value, (*arguments, *keywords.values()))
        given = {"context": context, "eval_context": context.eval_ctx, "environment": context.environment}
        first = (given[takes.name],) if takes is not None else ()
        return work.size(function(*first, value, *arguments, **keywords))

    return call


def instrumented(template: nodes.Template) -> nodes.Template:
    """Put the filters that count into a parsed template."""
    return _Instrument().visit(template)


class _Instrument(NodeTransformer):
    """Wraps what loops go through, and what is written, joined or compared."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802  named after the node
        self.generic_visit(node)
        node.iter = _filtered(node.iter, COUNTED)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_filtered(_as_expression(child), WEIGHED) for child in node.nodes]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        node.nodes = [_filtered(child, WEIGHED) for child in node.nodes]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:  # noqa: N802
        self.generic_visit(node)
        for compared in (node, *node.ops):
            if not isinstance(compared.expr, nodes.Const):
                compared.expr = _filtered(compared.expr, WEIGHED)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, SIZED)
        return node


def _as_expression(child: nodes.Expr) -> nodes.Expr:
    return nodes.Const(child.data, lineno=child.lineno) if isinstance(child, nodes.TemplateData) else child


def _filtered(node: nodes.Node, name: str) -> nodes.Expr:
    assert isinstance(node, nodes.Expr)
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)
