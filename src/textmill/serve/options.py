"""What a request's body asks of the engine, in the engine's own terms."""

from __future__ import annotations

import math
from typing import Any

from textmill.infer.constrain import Grammar
from textmill.infer.request import SEED_MAX, Request
from textmill.serve.api_error import ApiError
from textmill.serve.grammars import grammar_of
from textmill.serve.models import ServedModel
from textmill.serve.wire_requests import Generation

# OpenAI's, where neither the request nor the model's files say how to draw.
_DEFAULTS = {"temperature": 1.0}
_AS_THEY_ARE = (
    *("min_tokens", "temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty"),
    *("n", "stop", "ignore_eos"),
)


def engine_request(
    body: Generation,
    model: ServedModel,
    *,
    max_tokens: int,
    logprobs: int | None,
    grammar: Grammar | None = None,
) -> Request:
    """Make the engine's request of a body.

    Args:
        body: of either kind.
        model: whose defaults stand in for what the body leaves open.
        max_tokens: tokens to make at most, at least 1.
        logprobs: alternatives to tell at each place; None tells nothing.
        grammar: what tools ask of the answer.

    Raises:
        ApiError: an option is written in a way that OpenAI's clients do not write it.
        ConfigError: an option is out of the engine's range.
    """
    options: dict[str, Any] = _DEFAULTS | dict(model.defaults)
    given = {name: getattr(body, name) for name in _AS_THEY_ARE}
    given["top_k"] = 0 if body.top_k == -1 else body.top_k
    given["seed"] = None if body.seed is None else body.seed & SEED_MAX
    given["stop_ids"] = body.stop_token_ids
    given["logit_bias"] = None if body.logit_bias is None else _bias(body.logit_bias)
    if isinstance(body.stop, list):
        given["stop"] = [text for text in body.stop if text]
    elif not body.stop:
        given["stop"] = None
    options |= {name: value for name, value in given.items() if value is not None}
    wanted = grammar_of(body)
    if wanted is not None and grammar is not None:
        raise ApiError(400, "an answer that may call tools cannot be told its format, too; ask for one of them")
    return Request.of(**options, max_tokens=max_tokens, logprobs=logprobs, grammar=wanted or grammar)


def work_of(body: Generation) -> float:
    """How much work a body's options make, as characters of a text would: a grammar may take some milliseconds."""
    return math.inf if body.response_format or body.structured_outputs or _is_guided(body) else 0.0


def _is_guided(body: Generation) -> bool:
    return any((body.guided_json, body.guided_regex, body.guided_choice, body.guided_grammar))


def check_stream_options(body: Generation) -> None:
    """Raise ``ApiError`` where there are options of a stream, and no stream."""
    if body.stream_options is not None and not body.stream:
        raise ApiError(400, "stream_options are for streams; set stream to true", param="stream_options")


def _bias(bias: dict[str, float]) -> dict[int, float]:
    """Biases by token ids, which JSON has to write as strings."""
    wrong = next((key for key in bias if not (key.isascii() and key.isdecimal() and len(key) < 11)), None)
    if wrong is not None:
        raise ApiError(400, f'logit_bias has the key "{wrong}", and keys must be token ids', param="logit_bias")
    return {int(key): value for key, value in bias.items()}
