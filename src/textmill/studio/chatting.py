"""An answer of a model, token by token, with the probability of each and of what might have come instead."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any

from textmill.base.errors import ConfigError
from textmill.checkpoint.sampling_defaults import load_sampling_defaults
from textmill.infer.answer import Answer
from textmill.infer.engine import LanguageModel
from textmill.infer.request import Delta
from textmill.serve.job import Job
from textmill.serve.stepper import Stepper
from textmill.studio.loaded import Loaded
from textmill.studio.requests import ChatRequest
from textmill.studio.sse import Event
from textmill.studio.tokens import told_bytes
from textmill.tokenizer.tokenizer import Tokenizer

_SEED_MAX = (1 << 32) - 1


async def chat(loaded: Loaded, stepper: Stepper, asked: ChatRequest) -> AsyncGenerator[Event]:
    """Answer a conversation or a prompt; closing it stops the work within a step.

    Raises:
        ConfigError, DataError: what was asked cannot be.
    """
    if (asked.messages is None) == (asked.prompt is None):
        raise ConfigError("give messages or a prompt, one of them")
    path = await asyncio.to_thread(loaded.subjects.model, asked.model)
    seed = secrets.randbelow(_SEED_MAX) if asked.seed is None else asked.seed
    request = asked.request(load_sampling_defaults(path), seed)
    if not loaded.is_loaded(path):
        yield "loading", {"model": asked.model}
    async with loaded.lease(asked.model) as lm:
        ids = await asyncio.to_thread(_prompt_ids, lm, asked)
        (answer,) = lm.answers(ids, request)
        async with contextlib.aclosing(_stream(lm, stepper, asked.model, answer)) as events:
            async for event in events:
                yield event


async def _stream(lm: LanguageModel, stepper: Stepper, model: str, answer: Answer) -> AsyncGenerator[Event]:
    job = Job(lm.batcher, [answer], tells_all=True)
    try:
        stepper.submit(job)
        is_begun = False
        text_at_end = ""
        while not job.is_over:
            pieces = await job.take() or []
            if not is_begun:
                is_begun = True
                yield "start", _start(lm, model, answer)
            deltas = [delta for _, delta in pieces]
            tokens = [told for delta in deltas for told in _tokens(lm.tokenizer, delta)]
            text_at_end += "".join(delta.text for delta in deltas if not delta.ids)
            if tokens:
                yield "tokens", {"tokens": tokens}
        yield "end", _end(answer, job, text_at_end)
    finally:
        job.abort()


def _prompt_ids(lm: LanguageModel, asked: ChatRequest) -> list[int]:
    if asked.messages is None:
        return lm.prompt_ids(asked.prompt)
    return lm.chat_ids([{"role": message.role, "content": message.content} for message in asked.messages])


def _start(lm: LanguageModel, model: str, answer: Answer) -> dict[str, Any]:
    return {
        "model": model,
        "num_prompt": answer.num_prompt,
        "num_cached": answer.num_cached or 0,
        "context": lm.context,
        "seed": answer.seed,
        "prompt": [
            {"id": token_id, "text": _text(lm.tokenizer, token_id)} for token_id in answer.ids[: answer.num_prompt]
        ],
    }


def _tokens(tokenizer: Tokenizer, delta: Delta) -> list[dict[str, Any]]:
    """The tokens of a piece: one, but for the last piece, which may have none."""
    rows = []
    logprobs, tops = delta.logprobs or [], delta.top_logprobs or []
    for number, (token_id, logprob, top) in enumerate(zip(delta.ids, logprobs, tops, strict=True)):
        rows.append(
            {
                **_token(tokenizer, token_id, logprob),
                "text": delta.text if number == len(delta.ids) - 1 else "",
                "top": [_token(tokenizer, other, value) for other, value in top.items()],
            }
        )
    return rows


def _token(tokenizer: Tokenizer, token_id: int, logprob: float) -> dict[str, Any]:
    data = told_bytes(tokenizer.token_bytes(token_id))
    return {"id": token_id, "token": data["text"], "token_hex": data["hex"], "logprob": round(logprob, 5)}


def _text(tokenizer: Tokenizer, token_id: int) -> str:
    return tokenizer.token_bytes(token_id).decode("utf-8", "replace") if token_id < tokenizer.vocab_size else ""


def _end(answer: Answer, job: Job, text: str) -> dict[str, Any]:
    ended = time.monotonic() if job.ended_at is None else job.ended_at
    first = ended if job.first_at is None else job.first_at
    return {
        "finish_reason": answer.finish_reason,
        "text": text,
        "num_prompt": answer.num_prompt,
        "num_cached": answer.num_cached or 0,
        "num_drawn": answer.num_drawn,
        "first_token_s": round(first - job.submitted_at, 4),
        "seconds": round(ended - job.submitted_at, 4),
        "tokens_per_s": round((answer.num_drawn - 1) / (ended - first), 2) if ended > first else None,
    }
