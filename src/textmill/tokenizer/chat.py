"""A chat template: what lays messages out as the model was taught."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from textmill.base.errors import DataError

if TYPE_CHECKING:
    from textmill.tokenizer.chat_strings import RenderedPart

_GENERATION_TAG = re.compile(r"\{%[-+]?\s*generation\b")


@dataclass(frozen=True, slots=True)
class ChatTemplate:
    """A Jinja template and the variables it may use.

    Attributes:
        text: the template.
        variables: names and texts of tokens, such as ("bos_token", "<s>").
        now: what ``strftime_now`` tells; the time of rendering unless given. No part of the template itself.
    """

    text: str
    variables: tuple[tuple[str, str], ...] = ()
    now: datetime.datetime | None = field(default=None, compare=False)

    @property
    def marks_answers(self) -> bool:
        """Whether the template says what the model is to write: ``{% generation %}`` ... ``{% endgeneration %}``."""
        return _GENERATION_TAG.search(self.text) is not None

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        add_generation_prompt: bool,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> list[RenderedPart]:
        """Render messages, and the tools that they may call, to parts, in order; their texts together are the whole.

        Raises:
            ConfigError: the messages are not a list of objects that hold text.
            DataError: the template is wrong, raises an exception of its own, or cannot be followed.
        """
        from textmill.tokenizer.chat_render import render  # jinja2 is not needed to load a tokenizer

        return render(self, messages, add_generation_prompt=add_generation_prompt, tools=tools)


def without_end(parts: Sequence[RenderedPart], messages: Sequence[Mapping[str, Any]]) -> Sequence[RenderedPart]:
    """Leave out what a template wrote after the content of the last message.

    Raises:
        DataError: that is no text, or the template ends with something else that a message says.
    """
    content = messages[-1].get("content") if messages else None
    last = max((place for place, part in enumerate(parts) if not part.is_template), default=-1)
    if not isinstance(content, str) or last < 0 or parts[last].text.strip() != content.strip():
        raise DataError(
            "the last message cannot be gone on with: its content is no text, or the chat template does not end with it"
        )
    return parts[: last + 1]
