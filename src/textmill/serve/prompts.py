"""What a request gives to go on from, as token ids."""

from __future__ import annotations

from typing import Any

import msgspec

from textmill.serve.api_error import ApiError
from textmill.serve.models import ServedModel
from textmill.serve.service import Service
from textmill.serve.wire_requests import PROMPTS_MAX, Message, Prompt


async def ids_of_all(service: Service, model: ServedModel, prompt: Prompt) -> list[list[int]]:
    """The ids of each prompt: a text, ids, a list of texts, or a list of lists of ids.

    Raises:
        ApiError: it is none of these, or longer than the context.
    """
    prompts = [prompt] if isinstance(prompt, str) or isinstance(prompt[0], int) else prompt
    if len(prompts) > PROMPTS_MAX:
        raise ApiError(400, f"there are {len(prompts):,} prompts, and a request may have {PROMPTS_MAX:,}")
    is_mixed = any(isinstance(one, int) for one in prompts) or (
        isinstance(prompts[0], list) and not all(isinstance(token_id, int) for token_id in prompts[0])
    )
    if is_mixed:
        raise ApiError(400, "a prompt is a text, a list of token ids, or a list of either", param="prompt")
    size = sum(map(len, prompts))  # type: ignore[arg-type]
    return await service.lay_out(size, lambda: [model.lm.prompt_ids(one) for one in prompts])


def plain_messages(messages: list[Message], template: str | None) -> list[dict[str, Any]]:
    """Messages as chat templates know them: contents as texts, and roles that are newer than most templates.

    Raises:
        ApiError: a message has parts that are no text, or nothing to say.
    """
    return [_plain(place, message, template or "") for place, message in enumerate(messages)]


def _plain(place: int, message: Message, template: str) -> dict[str, Any]:
    role = message.role
    if role == "developer" and role not in template:
        role = "system"  # what OpenAI's newer models call it
    plain: dict[str, Any] = {"role": role, "content": _text(place, message)}
    if message.name is not None:
        plain["name"] = message.name
    if message.tool_calls:
        plain["tool_calls"] = msgspec.to_builtins(message.tool_calls)
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    if plain["content"] is None and not message.tool_calls:
        raise ApiError(400, f"messages[{place}] has no content", param=f"messages[{place}].content")
    return plain


def _text(place: int, message: Message) -> str | None:
    content = message.content
    if content is None or isinstance(content, str):
        return content
    for part in content:
        if part.text is None or part.type not in ("text", "input_text", "output_text"):
            raise ApiError(
                400,
                f'messages[{place}] has a part of the type "{part.type}", and this server reads parts of the type '
                '"text" with a text',
                param=f"messages[{place}].content",
            )
    return "\n".join(part.text or "" for part in content)
