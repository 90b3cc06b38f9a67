"""What the page asks, as it comes over the wire."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from textmill.base.errors import ConfigError
from textmill.infer.request import Options, Request


class Asked(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A body; what it does not know is refused, because the page and the studio are of one make."""


class TokensRequest(Asked):
    """A text to take apart."""

    tokenizer: str
    text: str
    special: Literal["text", "parse"] = "text"


class CompareRequest(Asked):
    """A text to take apart by two tokenizers."""

    a: str
    b: str
    text: str
    top: int = 20


class VocabularyRequest(Asked):
    """What to look for in a vocabulary."""

    tokenizer: str
    text: str = ""
    script: str | None = None
    count: int = 200


class PositionsRequest(Asked):
    """Numbers of RoPE."""

    head_dim: int
    rope_theta: float
    context: int = 2048
    scaling: dict[str, Any] | None = None


class AttentionRequest(Asked):
    """A prompt, as a text or as ids."""

    model: str
    text: str | None = None
    ids: list[int] | None = None
    max_tokens: int = 64


class PlayRequest(Asked):
    """Prompts for a cache of a few blocks."""

    model: str
    prompts: list[str]
    max_tokens: int = 16
    num_blocks: int = 12
    at_once: int = 4


class Message(Asked):
    """A turn of a conversation."""

    role: str
    content: str


class ChatRequest(Asked):
    """A conversation or a prompt, and how to answer; what is not given is left to the model's files."""

    model: str
    messages: list[Message] | None = None
    prompt: str | None = None
    alternatives: int = 5
    max_tokens: int | None = None
    min_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[int, float] | None = None
    seed: int | None = None
    stop: list[str] | None = None
    ignore_eos: bool | None = None

    def request(self, defaults: dict[str, Any], seed: int) -> Request:
        """The engine's own request, over what the model's files ask for; raises ``ConfigError``."""
        if not 0 <= self.alternatives <= _ALTERNATIVES_MAX:
            raise ConfigError(f"alternatives is {self.alternatives}, and must be 0 to {_ALTERNATIVES_MAX}")
        given = {name: getattr(self, name) for name in _OPTIONS if getattr(self, name) is not None}
        options: Options = {**defaults, **given, "seed": seed, "logprobs": self.alternatives}  # type: ignore[typeddict-item]
        return Request.of(**options)


_ALTERNATIVES_MAX = 20
_OPTIONS = (
    *("max_tokens", "min_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty"),
    *("frequency_penalty", "logit_bias", "stop", "ignore_eos"),
)
