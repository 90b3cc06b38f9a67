"""A conversation, and the tools that an answer may call, as the prompt of the model's template."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from textmill.infer.constrain import Grammar
from textmill.serve.api_error import ApiError
from textmill.serve.models import ServedModel
from textmill.serve.prompts import plain_messages
from textmill.serve.service import Service
from textmill.serve.tool_calls import Offer, Way, offer
from textmill.serve.wire_requests import ChatRequest, TokenizeRequest


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ChatPrompt:
    """What a model is asked.

    Attributes:
        ids: the prompt.
        grammar: what tools ask of the answer; None where there are none.
        way: how the answer writes calls; None where it makes none.
    """

    ids: list[int]
    grammar: Grammar | None = None
    way: Way | None = None


async def chat_prompt(service: Service, model: ServedModel, body: ChatRequest | TokenizeRequest) -> ChatPrompt:
    """Lay out a conversation as the model's template does.

    Raises:
        ApiError: there is no template, it refuses the messages, a tool is wrong, or all is longer than the context.
    """
    if body.continue_final_message and body.add_generation_prompt:
        raise ApiError(
            400,
            "continue_final_message goes on with the last message, and add_generation_prompt begins another one: set "
            "one of them",
            param="continue_final_message",
        )
    messages = plain_messages(body.messages or [], model.lm.tokenizer.chat_template)
    return await service.lay_out(_size(body, messages), lambda: _prompt(model, body, messages))


def _prompt(model: ServedModel, body: ChatRequest | TokenizeRequest, messages: list[dict[str, Any]]) -> ChatPrompt:
    offered = _offer(model, body, messages)
    goes_on = bool(body.continue_final_message)
    ids = model.lm.chat_ids(
        offered.messages,
        add_generation_prompt=not goes_on and body.add_generation_prompt is not False,
        continue_final_message=goes_on,
        tools=offered.tools,
    )
    return ChatPrompt(ids=ids, grammar=offered.grammar, way=offered.way)


def _offer(model: ServedModel, body: ChatRequest | TokenizeRequest, messages: list[dict[str, Any]]) -> Offer:
    choice = body.tool_choice if isinstance(body, ChatRequest) else None
    has_tools = bool(body.tools) or any(map(_tells_of_tools, messages))
    if not has_tools and choice in (None, "none", "auto"):
        return Offer(messages=messages, tools=None, grammar=None, way=None)
    return offer(
        messages,
        msgspec.to_builtins(body.tools or []),
        msgspec.to_builtins(choice),
        model.lm.tokenizer.chat_template or "",
        parallel=not isinstance(body, ChatRequest) or body.parallel_tool_calls is not False,
    )


def _tells_of_tools(message: dict[str, Any]) -> bool:
    return bool(message.get("tool_calls")) or message["role"] == "tool"


def _size(body: ChatRequest | TokenizeRequest, messages: list[dict[str, Any]]) -> float:
    """Characters to lay out; tools come with a grammar, which takes some milliseconds."""
    return float("inf") if body.tools else sum(len(message["content"] or "") for message in messages)
