"""``POST /v1/chat/completions``: answers to conversations."""

from __future__ import annotations

from collections.abc import Sequence

from textmill.infer.answer import Answer
from textmill.infer.request import Delta
from textmill.serve.api_error import ApiError
from textmill.serve.completions import FINGERPRINT
from textmill.serve.events import Events, to_json
from textmill.serve.exchange import Exchange
from textmill.serve.job import Job, Piece
from textmill.serve.models import ServedModel
from textmill.serve.options import check_stream_options, engine_request, work_of
from textmill.serve.prompts import plain_messages
from textmill.serve.service import Service
from textmill.serve.stream import by_answer, reason_of, send_stream, take_whole
from textmill.serve.token_texts import chat_logprobs
from textmill.serve.usage import usage_of
from textmill.serve.wire_requests import ChatRequest, Message
from textmill.serve.wire_responses import ChatChoice, ChatCompletion, ChatLogprobs, ChatMessage

_ROLE = b'{"role":"assistant","content":""}'


async def chat_completions(service: Service, exchange: Exchange) -> None:
    """Answer a request."""
    body = await exchange.read_json(ChatRequest, service.settings.max_body_bytes)
    check_stream_options(body)
    _check(body)
    async with service.lease(body.model) as model:
        prompt = await chat_prompt(
            service,
            model,
            body.messages,
            add_generation_prompt=body.add_generation_prompt,
            continue_final_message=body.continue_final_message,
        )
        if exchange.logs_text:
            exchange.facts["prompt"] = model.lm.tokenizer.decode(prompt)
        answers = await service.lay_out(work_of(body), lambda: _answers(body, model, prompt))
        async with service.making(exchange, model, answers, tells_all=bool(body.stream), timeout_s=body.timeout) as job:
            if body.stream:
                await _stream(exchange, body, model, job)
            else:
                await _respond(exchange, body, model, job)


async def chat_prompt(
    service: Service,
    model: ServedModel,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool | None,
    continue_final_message: bool | None,
) -> list[int]:
    """Lay out a conversation as the model's template does.

    Raises:
        ApiError: there is no template, it refuses the messages, or they are longer than the context.
    """
    goes_on = bool(continue_final_message)
    if goes_on and add_generation_prompt:
        raise ApiError(
            400,
            "continue_final_message goes on with the last message, and add_generation_prompt begins another one: set "
            "one of them",
            param="continue_final_message",
        )
    plain = plain_messages(list(messages), model.lm.tokenizer.chat_template)
    size = sum(len(message["content"] or "") for message in plain)
    return await service.lay_out(
        size,
        lambda: model.lm.chat_ids(
            plain,
            add_generation_prompt=not goes_on and add_generation_prompt is not False,
            continue_final_message=goes_on,
        ),
    )


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


def _answers(body: ChatRequest, model: ServedModel, prompt: list[int]) -> list[Answer]:
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    return model.lm.answers(prompt, engine_request(body, model, max_tokens=_max_tokens(body, model), logprobs=logprobs))


async def _respond(exchange: Exchange, body: ChatRequest, model: ServedModel, job: Job) -> None:
    deltas = by_answer(await take_whole(job))
    choices = [_choice(body, model, index, deltas[index]) for index in sorted(deltas)]
    if exchange.logs_text:
        exchange.facts["texts"] = [choice.message.content for choice in choices]
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


def _choice(body: ChatRequest, model: ServedModel, index: int, deltas: list[Delta]) -> ChatChoice:
    return ChatChoice(
        index=index,
        message=ChatMessage(content="".join(delta.text for delta in deltas)),
        finish_reason=reason_of(deltas[-1]),
        logprobs=_logprobs(model, deltas) if body.logprobs else None,
    )


def _logprobs(model: ServedModel, deltas: list[Delta]) -> ChatLogprobs:
    token_bytes = model.lm.tokenizer.token_bytes
    return ChatLogprobs(content=[told for delta in deltas for told in chat_logprobs(delta, token_bytes)])


async def _stream(exchange: Exchange, body: ChatRequest, model: ServedModel, job: Job) -> None:
    events = Events(
        request_id=f"chatcmpl-{exchange.id}",
        kind="chat.completion.chunk",
        created=exchange.created,
        model=model.name,
        fingerprint=FINGERPRINT,
        options=body.stream_options,
    )
    begun: set[int] = set()

    def chunks_of(pieces: list[Piece]) -> bytes:
        events.count(job.answers)
        return b"".join(chunk_of(index, deltas) for index, deltas in by_answer(pieces).items())

    def chunk_of(index: int, deltas: list[Delta]) -> bytes:
        chunks = b""
        if index not in begun:
            begun.add(index)
            chunks = events.delta(index, _ROLE)
        text = "".join([delta.text for delta in deltas])
        if exchange.logs_text:
            exchange.note_text(index, text)
        if body.logprobs and any(delta.ids for delta in deltas):
            logprobs = to_json(_logprobs(model, deltas))
            chunks += events.delta(index, b'{"content":%s}' % to_json(text), logprobs=logprobs)
        elif text:
            chunks += events.delta(index, b'{"content":%s}' % to_json(text))
        if deltas[-1].finish_reason:
            chunks += events.delta(index, b"{}", reason=reason_of(deltas[-1]))
        return chunks

    await send_stream(exchange, job, chunks_of, lambda: events.end(job.answers))
