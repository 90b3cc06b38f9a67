"""Bodies of responses, in OpenAI's shapes, and vLLM's where OpenAI has none."""

from __future__ import annotations

from typing import Literal

import msgspec

FinishReason = Literal["stop", "length", "tool_calls"]


class CachedTokens(msgspec.Struct, kw_only=True):
    """How many of the prompt's tokens were found in the prefix cache."""

    cached_tokens: int


class Usage(msgspec.Struct, kw_only=True):
    """What a request took, in tokens. The token that ends a text is not counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens | None = None


class TopLogprob(msgspec.Struct, kw_only=True):
    """A token that might have stood here, its natural log-probability and its bytes."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob, kw_only=True):
    """A token of the answer, and what else was probable."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(msgspec.Struct, kw_only=True):
    """Log-probabilities of a chat's answer."""

    content: list[TokenLogprob]


class CalledFunction(msgspec.Struct, kw_only=True):
    """The function that the model calls; its arguments are JSON in a string."""

    name: str
    arguments: str


class MadeToolCall(msgspec.Struct, kw_only=True):
    """A call that the model makes."""

    id: str
    function: CalledFunction
    type: str = "function"


class ChatMessage(msgspec.Struct, kw_only=True):
    """What the model said."""

    role: str = "assistant"
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[MadeToolCall] | msgspec.UnsetType = msgspec.UNSET


class ChatChoice(msgspec.Struct, kw_only=True):
    """One of the answers of a chat."""

    index: int
    message: ChatMessage
    finish_reason: FinishReason
    logprobs: ChatLogprobs | None = None


class ChatCompletion(msgspec.Struct, kw_only=True):
    """The response of ``/v1/chat/completions``, where it is not streamed."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage


class CompletionLogprobs(msgspec.Struct, kw_only=True):
    """Log-probabilities of a completion; tokens that are not whole characters are written ``bytes:\\xe2\\x82``."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class CompletionChoice(msgspec.Struct, kw_only=True):
    """One of the texts of a completion."""

    index: int
    text: str
    finish_reason: FinishReason
    logprobs: CompletionLogprobs | None = None


class Completion(msgspec.Struct, kw_only=True):
    """The response of ``/v1/completions``, where it is not streamed."""

    id: str
    object: str = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage


class ModelCard(msgspec.Struct, kw_only=True):
    """A model that can be asked for by its name."""

    id: str
    object: str = "model"
    created: int
    max_model_len: int | None = None
    owned_by: str = "textmill"
    parent: str | None = None


class ModelList(msgspec.Struct, kw_only=True):
    """The response of ``/v1/models``."""

    object: str = "list"
    data: list[ModelCard]


class Embedding(msgspec.Struct, kw_only=True):
    """A text's vector, of length 1: a list of numbers, or little-endian float32 in base64."""

    index: int
    object: str = "embedding"
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct, kw_only=True):
    """What a request for embeddings took, in tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(msgspec.Struct, kw_only=True):
    """The response of ``/v1/embeddings``."""

    object: str = "list"
    model: str
    data: list[Embedding]
    usage: EmbeddingUsage


class Tokenized(msgspec.Struct, kw_only=True):
    """The response of ``/tokenize``."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class Detokenized(msgspec.Struct, kw_only=True):
    """The response of ``/detokenize``."""

    prompt: str


class Health(msgspec.Struct, kw_only=True):
    """The response of ``/health``."""

    status: str


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What went wrong, and what to do."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(msgspec.Struct, kw_only=True):
    """The body of every response that is an error."""

    error: ErrorDetail
