"""A chat template: what lays messages out as the model was taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


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
        from textmill.tokenizer.chat_render import render  # jinja2 is not needed to load a tokenizer

        return render(self, messages, add_generation_prompt=add_generation_prompt)
