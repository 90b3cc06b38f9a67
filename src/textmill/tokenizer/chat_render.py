"""Chat templates, rendered so that what a message says can never be taken for what the template says.

A template (Jinja) mixes its own text, which holds control tokens such as ``<|im_start|>``, with the text of messages,
which anyone may have written. While it renders, every string of a message is a placeholder that nobody can guess; it
behaves like the string it stands for when the template looks at it or strips it. Afterwards the template's own text and
the messages' are told apart by the placeholders. A second rendering with the plain strings must give the same text;
where it does not, the template does something with strings that cannot be followed, and is refused.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2

from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.chat_sandbox import Sandbox, compiled
from textmill.tokenizer.chat_strings import Placeholders, RenderedPart, wrap

if TYPE_CHECKING:
    from textmill.tokenizer.chat import ChatTemplate

MAX_TEMPLATE_CHARACTERS = 1 << 20
MAX_RENDERED_CHARACTERS = 1 << 26

# SyntaxError: Python compiles what Jinja writes, and nests loops no deeper than twenty.
_TEMPLATE_ERRORS = (
    *(jinja2.TemplateError, ArithmeticError, AttributeError, LookupError),
    *(SyntaxError, TypeError, ValueError),
)


def render(
    template: ChatTemplate,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool,
    tools: Sequence[Mapping[str, Any]] | None = None,
) -> list[RenderedPart]:
    """Do what ``ChatTemplate.render`` describes."""
    said: dict[str, Any] = {"messages": _checked(messages)}
    if tools is not None:
        said["tools"] = list(tools)
    now = template.now or datetime.datetime.now(tz=datetime.UTC).astimezone()
    placeholders = Placeholders()
    marked = _render(template, _wrapped(said, placeholders), add_generation_prompt, now, placeholders)
    plain = _render(template, _wrapped(said, None), add_generation_prompt, now, None)
    parts = list(placeholders.take_apart(marked))
    if "".join(part.text for part in parts) != plain:
        raise DataError(
            "the chat template changes the text of messages in a way that cannot be followed, so the text could "
            "not be kept apart from control tokens; simplify what it does with strings"
        )
    return parts


def _wrapped(said: Mapping[str, Any], placeholders: Placeholders | None) -> dict[str, Any]:
    return {name: wrap(value, placeholders) for name, value in said.items()}


def _render(
    chat_template: ChatTemplate,
    said: Mapping[str, Any],
    add_generation_prompt: bool,
    now: datetime.datetime,
    placeholders: Placeholders | None,
) -> str:
    sandbox = Sandbox(now, placeholders)
    if len(chat_template.text) > MAX_TEMPLATE_CHARACTERS:
        raise DataError(
            f"the chat template has {len(chat_template.text)} characters of at most {MAX_TEMPLATE_CHARACTERS}"
        )
    pieces: list[str] = []
    size = 0
    try:
        template = jinja2.Template.from_code(sandbox, compiled(chat_template.text), sandbox.make_globals(None))
        variables = dict(chat_template.variables)
        for piece in template.generate(**said, add_generation_prompt=add_generation_prompt, **variables):
            size += len(piece)
            if size > MAX_RENDERED_CHARACTERS:
                raise DataError(f"the chat template writes more than {MAX_RENDERED_CHARACTERS} characters")
            pieces.append(str.__str__(piece))
    except DataError:
        raise
    except _TEMPLATE_ERRORS as error:
        raise DataError(f"the chat template fails: {type(error).__name__}: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise DataError(f"the chat template needs too much: {type(error).__name__}") from error
    return "".join(pieces)


def _checked(messages: Any) -> list[Mapping[str, Any]]:
    is_list = isinstance(messages, Iterable) and not isinstance(messages, str | bytes | Mapping)
    items = list(messages) if is_list else []
    if not is_list or not all(isinstance(message, Mapping) for message in items):
        raise ConfigError('messages must be a list of objects such as {"role": "user", "content": "Hello"}')
    for place, message in enumerate(items):
        if message.get("content", "") is None and not message.get("tool_calls"):
            raise ConfigError(
                f"messages[{place}] has no content (None); give a text: only one with tool_calls may lack it"
            )
    return items
