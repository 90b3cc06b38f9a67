"""Bodies of requests: OpenAI's fields, and the extensions that vLLM's clients send. Unknown fields are passed over.

The same types check what comes in and make the schema that ``/openapi.json`` tells. ``None`` is the default of a field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

ANSWERS_MAX = 128
PROMPTS_MAX = 2048  # OpenAI's, of embeddings
TOP_LOGPROBS_MAX = 20
MESSAGES_MAX = 4096

TokenId: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 31) - 1)]
_Penalty: TypeAlias = Annotated[float, Meta(ge=-100, le=100)]
_Part: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Prompt: TypeAlias = str | Annotated[list[str | TokenId | list[TokenId]], Meta(min_length=1, max_length=1 << 20)]


class StreamOptions(msgspec.Struct, kw_only=True):
    """What a stream tells besides the answer."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class JsonSchema(msgspec.Struct, kw_only=True):
    """A schema by OpenAI's wrapping of it."""

    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | bool | None = None
    strict: bool | None = None


class ResponseFormat(msgspec.Struct, kw_only=True):
    """What a text must be: anything, JSON, JSON by a schema, or what a regex matches."""

    type: Literal["text", "json_object", "json_schema", "regex"]
    json_schema: JsonSchema | None = None
    pattern: str | None = None


class StructuredOutputs(msgspec.Struct, kw_only=True):
    """vLLM's way to say the same; one of them."""

    json: dict[str, Any] | str | bool | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None


class Generation(msgspec.Struct, kw_only=True):
    """What requests for chats and for completions share."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, Meta(ge=1, le=ANSWERS_MAX)] | None = None
    max_tokens: _Count | None = None
    min_tokens: _Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=(1 << 31) - 1)] | None = None
    min_p: _Part | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=100)] | None = None
    presence_penalty: _Penalty | None = None
    frequency_penalty: _Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[TokenId] | None = None
    ignore_eos: bool | None = None
    timeout: Annotated[float, Meta(gt=0)] | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | str | bool | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None


class CompletionRequest(Generation, kw_only=True):
    """``POST /v1/completions``."""

    prompt: Prompt
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=TOP_LOGPROBS_MAX)] | None = None
    suffix: str | None = None
    best_of: _Count | None = None


class ContentPart(msgspec.Struct, kw_only=True):
    """A part of a message's content; only those of type ``text`` can be read."""

    type: str
    text: str | None = None


class FunctionCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The function that an earlier answer called; its arguments are JSON in a string."""

    name: str
    arguments: str | dict[str, Any] = "{}"


class ToolCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A call that an earlier answer made."""

    function: FunctionCall
    id: str | None = None
    type: str = "function"


class Message(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What somebody said."""

    role: Annotated[str, Meta(min_length=1, max_length=64)]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


class Function(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A function that the model may call; ``parameters`` is the JSON schema of its arguments."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A tool that the model may use: a function."""

    function: Function
    type: Literal["function"] = "function"


class NamedFunction(msgspec.Struct, kw_only=True):
    """The function that has to be called."""

    name: str


class NamedTool(msgspec.Struct, kw_only=True):
    """The tool that has to be used."""

    function: NamedFunction
    type: Literal["function"] = "function"


Messages: TypeAlias = Annotated[list[Message], Meta(min_length=1, max_length=MESSAGES_MAX)]
ToolChoice: TypeAlias = Literal["none", "auto", "required"] | NamedTool


class ChatRequest(Generation, kw_only=True):
    """``POST /v1/chat/completions``."""

    messages: Messages
    max_completion_tokens: _Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=TOP_LOGPROBS_MAX)] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None


class EmbeddingRequest(msgspec.Struct, kw_only=True):
    """``POST /v1/embeddings``."""

    input: Prompt
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    timeout: Annotated[float, Meta(gt=0)] | None = None


class TokenizeRequest(msgspec.Struct, kw_only=True):
    """``POST /tokenize``: a text, or the messages of a chat."""

    model: str | None = None
    prompt: str | None = None
    messages: Messages | None = None
    tools: list[Tool] | None = None
    add_special_tokens: bool | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    return_token_strs: bool | None = None


class DetokenizeRequest(msgspec.Struct, kw_only=True):
    """``POST /detokenize``."""

    tokens: list[TokenId]
    model: str | None = None
