"""``/openapi.json``: made of the very types that requests are read with and responses are written as."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from textmill import __version__
from textmill.serve import wire_requests as requests
from textmill.serve import wire_responses as responses

_REF = "#/components/schemas/{name}"
# Path, method, what it does, body, response.
_ROUTES: tuple[tuple[str, str, str, type | None, type | None], ...] = (
    ("/v1/chat/completions", "post", "Answer a conversation", requests.ChatRequest, responses.ChatCompletion),
    ("/v1/completions", "post", "Go on from prompts", requests.CompletionRequest, responses.Completion),
    ("/v1/embeddings", "post", "Turn texts into vectors", requests.EmbeddingRequest, responses.EmbeddingList),
    ("/v1/models", "get", "List the models", None, responses.ModelList),
    ("/v1/models/{model}", "get", "Tell of one model", None, responses.ModelCard),
    ("/tokenize", "post", "Turn text into ids", requests.TokenizeRequest, responses.Tokenized),
    ("/detokenize", "post", "Turn ids into text", requests.DetokenizeRequest, responses.Detokenized),
    ("/health", "get", "Say whether requests are taken", None, responses.Health),
    ("/metrics", "get", "Tell what was counted", None, None),
)
_OPEN = ("/health",)
_STREAMED = (requests.ChatRequest, requests.CompletionRequest)
_ERRORS = {
    "400": "the request cannot be used as it is",
    "401": "no key opens the door",
    "403": "the server is not called by a name of its own",
    "404": "there is no such model",
    "408": "the deadline has passed",
    "413": "the body is too large",
    "429": "the queue is full; Retry-After says when to come again",
    "500": "the engine failed",
    "503": "the model is being loaded, or the server ends",
}


@functools.cache
def schema() -> dict[str, Any]:
    """The whole description, OpenAPI 3.1."""
    types = {kind for _, _, _, *both in _ROUTES for kind in both if kind is not None} | {responses.Error}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    paths: dict[str, Any] = {}
    for path, method, summary, body, response in _ROUTES:
        paths.setdefault(path, {})[method] = _operation(path, summary, body, response)
    return {
        "openapi": "3.1.0",
        "info": {"title": "textmill", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


# One server-sent event, as a client's reader gives it: 3.1 has no word for what streams are made of.
_EVENT = {"type": "object", "properties": {"data": {"type": "string"}}, "required": ["data"]}


def _operation(path: str, summary: str, body: type | None, response: type | None) -> dict[str, Any]:
    if response is None:
        content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": _ref(response)}}
    if body in _STREAMED:
        content["text/event-stream"] = {"schema": _EVENT}
    operation: dict[str, Any] = {
        "summary": summary,
        "responses": {
            "200": {"description": "ok", "content": content},
            **{
                status: {"description": why, "content": {"application/json": {"schema": _ref(responses.Error)}}}
                for status, why in _ERRORS.items()
            },
        },
    }
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    if path in _OPEN:
        operation["security"] = []
    if "{model}" in path:
        operation["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    return operation


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
