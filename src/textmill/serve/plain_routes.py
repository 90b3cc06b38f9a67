"""The routes that make no text: models, tokens, embeddings, and how the server is."""

from __future__ import annotations

from textmill.serve.api_error import ApiError
from textmill.serve.chat_prompts import chat_prompt
from textmill.serve.exchange import Exchange
from textmill.serve.metrics import CONTENT_TYPE
from textmill.serve.model_pool import unknown_model
from textmill.serve.models import ServedModel
from textmill.serve.openapi import schema
from textmill.serve.service import Service
from textmill.serve.wire_requests import DetokenizeRequest, TokenizeRequest
from textmill.serve.wire_responses import (
    Detokenized,
    Health,
    ModelCard,
    ModelList,
    Tokenized,
)

MODEL_PATH = "/v1/models/"


async def health(service: Service, exchange: Exchange) -> None:
    """Say whether requests are taken: 200, or 503 while models are loaded and while the server ends."""
    check_ready(service)
    await exchange.respond_json(Health(status="ok"))


def check_ready(service: Service) -> None:
    """Raise ``ApiError`` unless requests are taken."""
    if service.phase == "loading":
        raise ApiError(503, "the model is being loaded", code="loading", headers=[(b"retry-after", b"1")])
    if service.phase == "draining":
        raise ApiError(503, "the server is being stopped", code="draining", headers=[(b"retry-after", b"5")])


async def metrics(service: Service, exchange: Exchange) -> None:
    """Tell what was counted."""
    await exchange.respond(200, service.metrics.render(), [(b"content-type", CONTENT_TYPE)])


async def openapi(service: Service, exchange: Exchange) -> None:
    """Describe all of this."""
    await exchange.respond_json(schema())


async def models(service: Service, exchange: Exchange) -> None:
    """List the models."""
    assert service.models is not None
    await exchange.respond_json(ModelList(data=[_card(service, name) for name in service.models.names]))


async def one_model(service: Service, exchange: Exchange) -> None:
    """Tell of one model; its name may hold slashes."""
    assert service.models is not None
    name = exchange.path.removeprefix(MODEL_PATH)
    if name not in service.models.names:
        raise unknown_model(name, service.models.names)
    await exchange.respond_json(_card(service, name))


def _card(service: Service, name: str) -> ModelCard:
    assert service.models is not None
    contexts = {model.name: model.lm.context for model in service.models.loaded}
    base = service.models.base_of(name)
    return ModelCard(id=name, created=service.created, max_model_len=contexts.get(base or name), parent=base)


async def tokenize(service: Service, exchange: Exchange) -> None:
    """Turn a text, or a conversation, into ids."""
    body = await exchange.read_json(TokenizeRequest, service.settings.max_body_bytes)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give a prompt or messages, one of them", param="prompt")
    async with service.lease(exchange, body.model) as model:
        ids = await _ids(service, model, body)
        strings: list[str] | None = None
        if body.return_token_strs:
            strings = await service.lay_out(len(ids), lambda: _strings(model, ids))
        await exchange.respond_json(
            Tokenized(
                count=len(ids),
                max_model_len=model.lm.context,
                tokens=ids,
                token_strs=strings,
            )
        )


async def _ids(service: Service, model: ServedModel, body: TokenizeRequest) -> list[int]:
    if body.messages is not None:
        return (await chat_prompt(service, model, body)).ids
    text = body.prompt or ""
    ids = await service.lay_out(len(text), lambda: model.lm.tokenizer.encode(text))
    return ids if body.add_special_tokens is False else [*model.lm.rules.prefix_ids, *ids]


def _strings(model: ServedModel, ids: list[int]) -> list[str]:
    return [model.lm.tokenizer.token_bytes(token_id).decode(errors="replace") for token_id in ids]


async def detokenize(service: Service, exchange: Exchange) -> None:
    """Turn ids into text."""
    body = await exchange.read_json(DetokenizeRequest, service.settings.max_body_bytes)
    async with service.lease(exchange, body.model) as model:
        text = await service.lay_out(len(body.tokens), lambda: model.lm.tokenizer.decode(body.tokens))
        await exchange.respond_json(Detokenized(prompt=text))
