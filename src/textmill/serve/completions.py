"""``POST /v1/completions``: texts that go on from prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from textmill import __version__
from textmill.infer.answer import Answer
from textmill.infer.request import Delta
from textmill.serve.api_error import ApiError
from textmill.serve.events import Events, to_json
from textmill.serve.exchange import Exchange
from textmill.serve.job import Job, Piece
from textmill.serve.models import ServedModel
from textmill.serve.options import check_stream_options, engine_request, work_of
from textmill.serve.prompts import ids_of_all
from textmill.serve.service import Service
from textmill.serve.stream import by_answer, reason_of, send_stream, take_whole
from textmill.serve.token_texts import CompletionTokens, PromptLogprobs
from textmill.serve.usage import usage_of
from textmill.serve.wire_requests import CompletionRequest
from textmill.serve.wire_responses import Completion, CompletionChoice, CompletionLogprobs

FINGERPRINT = f"textmill-{__version__}"
_MAX_TOKENS = 16  # OpenAI's


async def completions(service: Service, exchange: Exchange) -> None:
    """Answer a request."""
    body = await exchange.read_json(CompletionRequest, service.settings.max_body_bytes)
    _check(body)
    async with service.lease(exchange, body.model, body.timeout) as model:
        prompts = await ids_of_all(service, model, body.prompt)
        if exchange.logs_text:
            exchange.facts["prompt"] = body.prompt
        answers = await service.lay_out(work_of(body), lambda: _answers(body, model, prompts))
        texts = [_Text(body, model, answer) for answer in answers]
        async with service.making(exchange, model, answers, tells_all=bool(body.stream), timeout_s=body.timeout) as job:
            if body.stream:
                await _stream(exchange, body, model, job, texts)
            else:
                await _respond(exchange, model, job, texts)


def _check(body: CompletionRequest) -> None:
    check_stream_options(body)
    if body.suffix:
        raise ApiError(400, "suffix is for models that fill in; leave it out", param="suffix")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise ApiError(400, f"best_of is {body.best_of}, and may only be n: ask for n answers", param="best_of")
    if body.max_tokens == 0 and not body.echo:
        raise ApiError(
            400, "max_tokens is 0, which leaves nothing to answer; it may be 0 with echo", param="max_tokens"
        )


def _answers(body: CompletionRequest, model: ServedModel, prompts: Sequence[list[int]]) -> list[Answer]:
    """The answers to all prompts, ``n`` to each, those of the first prompt first."""
    max_tokens = _MAX_TOKENS if body.max_tokens is None else body.max_tokens
    request = engine_request(body, model, max_tokens=max(max_tokens, 1), logprobs=body.logprobs)
    answers = [answer for prompt in prompts for answer in model.lm.answers(prompt, request)]
    if max_tokens == 0:
        for answer in answers:
            answer.ending = dataclasses.replace(answer.ending, max_tokens=0)
    return answers


class _Text:
    """One of the texts in the making: what is told of it besides what the engine says."""

    def __init__(self, body: CompletionRequest, model: ServedModel, answer: Answer) -> None:
        prompt = answer.ids[: answer.num_prompt]
        self.answer = answer
        known = [token_id for token_id in prompt if token_id < answer.ending.num_ids]
        if body.echo and len(known) < len(prompt):
            raise ApiError(400, "the prompt has ids that stand for no text, and cannot be echoed", param="echo")
        self._echo = model.lm.tokenizer.decode(known) if body.echo else ""
        self._tokens: CompletionTokens | None = None
        self._prompt_logprobs: PromptLogprobs | None = None
        if body.logprobs is not None:
            self._tokens = CompletionTokens(
                model.lm.tokenizer, known, num_alternatives=body.logprobs, echoes=bool(body.echo)
            )
            if body.echo:
                self._prompt_logprobs = PromptLogprobs(answer, body.logprobs)

    def _begin(self) -> tuple[str, CompletionLogprobs | None]:
        """The prompt and its tokens, where it is to be echoed; nothing the second time."""
        text, self._echo = self._echo, ""
        told, self._prompt_logprobs = self._prompt_logprobs, None
        if told is None or self._tokens is None:
            return text, None
        prompt = self.answer.ids[: self.answer.num_prompt]
        return text, self._tokens.tell(prompt, told.logprobs, told.tops)

    def tell(self, deltas: Sequence[Delta]) -> tuple[str, CompletionLogprobs | None]:
        """The text of pieces, after the prompt where it is to be echoed, and what is told of their tokens."""
        before, told = self._begin()
        if self._tokens is not None:
            for delta in deltas:
                told = _joined(told, self._tokens.tell(delta.ids, delta.logprobs or (), delta.top_logprobs or ()))
        return before + "".join(delta.text for delta in deltas), told


async def _respond(exchange: Exchange, model: ServedModel, job: Job, texts: Sequence[_Text]) -> None:
    deltas = by_answer(await take_whole(job))
    choices = []
    for index, made in enumerate(texts):
        text, logprobs = made.tell(deltas[index])
        reason = reason_of(deltas[index][-1])
        choices.append(CompletionChoice(index=index, text=text, finish_reason=reason, logprobs=logprobs))
    if exchange.logs_text:
        exchange.facts["texts"] = [choice.text for choice in choices]
    await exchange.respond_json(
        Completion(
            id=f"cmpl-{exchange.id}",
            created=exchange.created,
            model=model.name,
            system_fingerprint=FINGERPRINT,
            choices=choices,
            usage=usage_of(job.answers),
        )
    )


async def _stream(
    exchange: Exchange, body: CompletionRequest, model: ServedModel, job: Job, texts: Sequence[_Text]
) -> None:
    events = Events(
        request_id=f"cmpl-{exchange.id}",
        kind="text_completion",
        created=exchange.created,
        model=model.name,
        fingerprint=FINGERPRINT,
        options=body.stream_options,
    )

    def chunks_of(pieces: list[Piece]) -> bytes:
        events.count(job.answers)
        return b"".join(chunk_of(index, deltas) for index, deltas in by_answer(pieces).items())

    def chunk_of(index: int, deltas: list[Delta]) -> bytes:
        text, logprobs = texts[index].tell(deltas)
        reason = reason_of(deltas[-1]) if deltas[-1].finish_reason else None
        if exchange.logs_text:
            exchange.note_text(index, text)
        if not text and not reason and logprobs is None:
            return b""
        return events.text(index, text, logprobs=to_json(logprobs), reason=reason)

    await send_stream(exchange, job, chunks_of, lambda: events.end(job.answers))


def _joined(first: CompletionLogprobs | None, second: CompletionLogprobs | None) -> CompletionLogprobs | None:
    if first is None or second is None:
        return first or second
    first.tokens += second.tokens
    first.token_logprobs += second.token_logprobs
    first.top_logprobs += second.top_logprobs
    first.text_offset += second.text_offset
    return first
