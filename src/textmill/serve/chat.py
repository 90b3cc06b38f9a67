"""``POST /v1/chat/completions``: answers to conversations."""

from __future__ import annotations

from collections.abc import Sequence

from textmill.infer.answer import Answer
from textmill.infer.request import Delta
from textmill.serve.api_error import ApiError
from textmill.serve.chat_prompts import ChatPrompt, chat_prompt
from textmill.serve.completions import FINGERPRINT
from textmill.serve.events import Events, to_json
from textmill.serve.exchange import Exchange
from textmill.serve.job import Job, Piece
from textmill.serve.models import ServedModel
from textmill.serve.options import check_stream_options, engine_request, work_of
from textmill.serve.said import Said, deltas_of, message_of
from textmill.serve.service import Service
from textmill.serve.stream import by_answer, reason_of, send_stream, take_whole
from textmill.serve.token_texts import chat_logprobs
from textmill.serve.usage import usage_of
from textmill.serve.wire_requests import ChatRequest
from textmill.serve.wire_responses import ChatChoice, ChatCompletion, ChatLogprobs, FinishReason

_ROLE = b'{"role":"assistant","content":""}'
_NOTHING = b'{"content":""}'


async def chat_completions(service: Service, exchange: Exchange) -> None:
    """Answer a request."""
    body = await exchange.read_json(ChatRequest, service.settings.max_body_bytes)
    check_stream_options(body)
    _check(body)
    async with service.lease(exchange, body.model, body.timeout) as model:
        prompt = await chat_prompt(service, model, body)
        if exchange.logs_text:
            exchange.facts["prompt"] = model.lm.tokenizer.decode(prompt.ids)
        answers = await service.lay_out(work_of(body), lambda: _answers(body, model, prompt))
        async with service.making(exchange, model, answers, tells_all=bool(body.stream), timeout_s=body.timeout) as job:
            if body.stream:
                await _stream(exchange, body, model, prompt, job)
            else:
                await _respond(exchange, body, model, prompt, job)


def _check(body: ChatRequest) -> None:
    if body.top_logprobs and not body.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs to be true", param="top_logprobs")
    for name in ("max_completion_tokens", "max_tokens"):
        if getattr(body, name) == 0:
            raise ApiError(400, f"{name} is 0, which leaves nothing to answer", param=name)


def _max_tokens(body: ChatRequest, model: ServedModel) -> int:
    """Tokens to make at most: all that the context has room for unless the request says less."""
    if body.max_completion_tokens is not None:
        return body.max_completion_tokens
    return model.lm.context if body.max_tokens is None else body.max_tokens


def _answers(body: ChatRequest, model: ServedModel, prompt: ChatPrompt) -> list[Answer]:
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    request = engine_request(
        body, model, max_tokens=_max_tokens(body, model), logprobs=logprobs, grammar=prompt.grammar
    )
    return model.lm.answers(prompt.ids, request)


async def _respond(exchange: Exchange, body: ChatRequest, model: ServedModel, prompt: ChatPrompt, job: Job) -> None:
    deltas = by_answer(await take_whole(job))
    choices = [_choice(body, model, prompt, index, deltas[index]) for index in sorted(deltas)]
    if exchange.logs_text:
        exchange.facts["texts"] = ["".join(delta.text for delta in deltas[index]) for index in sorted(deltas)]
    await exchange.respond_json(
        ChatCompletion(
            id=f"chatcmpl-{exchange.id}",
            created=exchange.created,
            model=model.name,
            system_fingerprint=FINGERPRINT,
            choices=choices,
            usage=usage_of(job.answers),
        )
    )


def _choice(body: ChatRequest, model: ServedModel, prompt: ChatPrompt, index: int, deltas: list[Delta]) -> ChatChoice:
    said = Said(prompt.way)
    events = said.push("".join(delta.text for delta in deltas), is_end=True)
    return ChatChoice(
        index=index,
        message=message_of(events),
        finish_reason=_reason(said, deltas[-1]),
        logprobs=_logprobs(model, deltas) if body.logprobs else None,
    )


def _reason(said: Said, last: Delta) -> FinishReason:
    """Why an answer ended: of one that was not cut off and calls tools, that is why."""
    reason = reason_of(last)
    return "tool_calls" if said.has_calls and reason == "stop" else reason


def _logprobs(model: ServedModel, deltas: Sequence[Delta]) -> ChatLogprobs:
    token_bytes = model.lm.tokenizer.token_bytes
    return ChatLogprobs(content=[told for delta in deltas for told in chat_logprobs(delta, token_bytes)])


async def _stream(exchange: Exchange, body: ChatRequest, model: ServedModel, prompt: ChatPrompt, job: Job) -> None:
    events = Events(
        request_id=f"chatcmpl-{exchange.id}",
        kind="chat.completion.chunk",
        created=exchange.created,
        model=model.name,
        fingerprint=FINGERPRINT,
        options=body.stream_options,
    )
    begun: dict[int, Said] = {}

    def chunks_of(pieces: list[Piece]) -> bytes:
        events.count(job.answers)
        return b"".join([chunk for index, deltas in by_answer(pieces).items() for chunk in chunks_for(index, deltas)])

    def chunks_for(index: int, deltas: list[Delta]) -> list[bytes]:
        chunks: list[bytes] = []
        said = begun.get(index)
        if said is None:
            said = begun[index] = Said(prompt.way)
            chunks.append(events.delta(index, _ROLE))
        text = "".join([delta.text for delta in deltas])
        if exchange.logs_text:
            exchange.note_text(index, text)
        is_end = deltas[-1].finish_reason is not None
        told = deltas_of(said.push(text, is_end=is_end))
        if body.logprobs and any(delta.ids for delta in deltas):
            first, *told = told or [_NOTHING]
            chunks.append(events.delta(index, first, logprobs=to_json(_logprobs(model, deltas))))
        chunks += [events.delta(index, delta) for delta in told]
        if is_end:
            chunks.append(events.delta(index, b"{}", reason=_reason(said, deltas[-1])))
        return chunks

    await send_stream(exchange, job, chunks_of, lambda: events.end(job.answers))
