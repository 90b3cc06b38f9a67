"""One answer of a conversation as it comes, and its figures."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from textmill.base.errors import ConfigError

if TYPE_CHECKING:
    from textmill.cli.chat_conversation import Message
    from textmill.infer.engine import LanguageModel


class ContextFullError(ConfigError):
    """A conversation leaves no room for an answer."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """An answer and what it took.

    Attributes:
        text: all of it, or what came before it was stopped.
        finish_reason: ``stop``, ``length``, ``interrupted``, or what a server says.
        num_prompt, num_cached: tokens of the conversation before it, and how many of them were not computed again.
        num_tokens: of the answer.
        first_s: seconds to the first token; ``rest_s`` those from there to the last.
        context: tokens that conversation and answer may have; None where a server does not say.
    """

    text: str
    finish_reason: str
    num_prompt: int
    num_cached: int
    num_tokens: int
    first_s: float
    rest_s: float
    context: int | None

    @property
    def tokens_per_s(self) -> float | None:
        """Speed of decoding: the first token belongs to the prompt; None for fewer than two."""
        return (self.num_tokens - 1) / self.rest_s if self.num_tokens > 1 and self.rest_s > 0 else None

    @property
    def num_used(self) -> int:
        """Tokens of the context that are taken now."""
        return self.num_prompt + self.num_tokens

    def as_table(self) -> dict[str, Any]:
        """The answer as a message, with its figures, as JSON can hold it."""
        return {
            "role": "assistant",
            "content": self.text,
            "finish_reason": self.finish_reason,
            "num_prompt": self.num_prompt,
            "num_cached": self.num_cached,
            "num_tokens": self.num_tokens,
            "seconds_to_first": round(self.first_s, 6),
            "tokens_per_s": None if self.tokens_per_s is None else round(self.tokens_per_s, 3),
        }


def answer(
    lm: LanguageModel, messages: Sequence[Message], options: dict[str, Any], show: Callable[[str], None]
) -> Answered:
    """Answer a conversation, handing each piece of text to ``show``; Ctrl-C ends the answer and nothing else.

    Raises:
        ContextFullError: the conversation leaves no room for an answer.
        DataError, ConfigError: as ``LanguageModel.stream`` does.
    """
    from textmill.infer.request import Request

    try:
        prompt = lm.chat_ids(messages)
    except ConfigError as error:  # longer than the context
        raise ContextFullError(str(error)) from error
    if len(prompt) == lm.context:
        raise ContextFullError(f"the conversation fills the context of {lm.context:,} tokens: no room for an answer")
    (handle,) = lm.answers(prompt, Request.of(**options))
    pieces: list[str] = []
    num_tokens, reason = 0, "interrupted"
    begin = first = last = time.monotonic()
    try:
        lm.batcher.submit(handle)
        for delta in lm.batcher.deltas(handle):
            last = time.monotonic()
            first = last if num_tokens == 0 else first
            num_tokens += len(delta.ids)
            pieces.append(delta.text)
            show(delta.text)
            reason = delta.finish_reason or reason
    except KeyboardInterrupt:
        lm.batcher.abort(handle)
    return Answered(
        text="".join(pieces),
        finish_reason=reason,
        num_prompt=len(prompt),
        num_cached=handle.num_cached or 0,
        num_tokens=num_tokens,
        first_s=first - begin,
        rest_s=last - first,
        context=lm.context,
    )
