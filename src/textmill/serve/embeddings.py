"""``POST /v1/embeddings``: the mean of the last layer's normed states over a text's tokens, at length 1."""

from __future__ import annotations

import base64

import numpy as np

from textmill.base.errors import DataError
from textmill.infer.batcher import MAX_RUNNING
from textmill.infer.mean_state import MeanState
from textmill.serve.api_error import ApiError, of_engine
from textmill.serve.exchange import Exchange
from textmill.serve.prompts import ids_of_all
from textmill.serve.service import Service
from textmill.serve.stream import take_whole
from textmill.serve.usage import usage_of
from textmill.serve.wire_requests import EmbeddingRequest
from textmill.serve.wire_responses import Embedding, EmbeddingList, EmbeddingUsage

# Clients send thousands of texts in one request; so many take no more of the queue than they can use.
_TEXTS_AT_ONCE = MAX_RUNNING


async def embeddings(service: Service, exchange: Exchange) -> None:
    """Answer a request."""
    body = await exchange.read_json(EmbeddingRequest, service.settings.max_body_bytes)
    async with service.lease(exchange, body.model, body.timeout) as model:
        width = model.lm.config.hidden_size
        if body.dimensions is not None and body.dimensions != width:
            raise ApiError(
                400,
                f"dimensions is {body.dimensions}, and this model's vectors have {width}: they are not made to be cut",
                param="dimensions",
            )
        prompts = await ids_of_all(service, model, body.input)
        vectors: list[list[float] | str] = []
        num_tokens = 0
        for start in range(0, len(prompts), _TEXTS_AT_ONCE):
            means = [model.lm.mean_state(prompt) for prompt in prompts[start : start + _TEXTS_AT_ONCE]]
            answers = [mean.answer for mean in means]
            async with service.making(exchange, model, answers, tells_all=False, timeout_s=body.timeout) as job:
                await take_whole(job)
            vectors += [_told(_value(mean), as_base64=body.encoding_format == "base64") for mean in means]
            num_tokens += usage_of(answers).prompt_tokens
        exchange.facts["prompt_tokens"] = num_tokens
        await exchange.respond_json(
            EmbeddingList(
                model=model.name,
                data=[Embedding(index=index, embedding=vector) for index, vector in enumerate(vectors)],
                usage=EmbeddingUsage(prompt_tokens=num_tokens, total_tokens=num_tokens),
            )
        )


def _value(mean: MeanState) -> np.ndarray:
    try:
        return mean.value()
    except DataError as error:
        raise of_engine(error) from error


def _told(vector_C: np.ndarray, *, as_base64: bool) -> list[float] | str:
    """A vector at length 1, in numbers or in the bytes of float32."""
    length = np.linalg.norm(vector_C)
    unit_C = (vector_C / (length or 1.0)).astype("<f4")
    return base64.b64encode(unit_C.tobytes()).decode() if as_base64 else unit_C.tolist()
