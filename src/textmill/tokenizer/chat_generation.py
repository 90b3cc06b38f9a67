"""``{% generation %}`` ... ``{% endgeneration %}`` in chat templates: what the model itself is to write.

Templates that are made for tuning mark it so. Blocks write what stands in them, as if the tags were not there; where
texts are told apart by placeholders, marks stand around it.
"""

from __future__ import annotations

from typing import Any

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser


class GenerationMarks(Extension):
    """The tag; the sandbox it runs in says what its marks look like (``generation_mark``)."""

    tags = {"generation"}  # noqa: RUF012  as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Put a mark before and after what stands between the tags."""
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return [self._mark(lineno, is_end=False), *body, self._mark(lineno, is_end=True)]

    def mark(self, is_end: bool) -> str:
        """The mark of a beginning or an end while a template is rendered."""
        sandbox: Any = self.environment
        return sandbox.generation_mark(is_end=is_end)

    def _mark(self, lineno: int, *, is_end: bool) -> nodes.Output:
        return nodes.Output([self.call_method("mark", [nodes.Const(is_end)], lineno=lineno)], lineno=lineno)
