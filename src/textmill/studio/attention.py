"""A prompt through the numpy twin, layer by layer: who looks at whom, and what a cache would keep."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.stored_model import StoredModel
from textmill.infer.reference import Weights, block, head_of, layer_weights, rms_norm, softmax
from textmill.model.config import ModelConfig
from textmill.model.flops import inference_flops_per_token
from textmill.studio.packed import packed
from textmill.tokenizer.tokenizer import Tokenizer

TOKENS_MAX = 256
DEFAULT_TOKENS = 64
MAP_BYTES_MAX = 32 << 20
WORK_FLOPS_MAX = 1.5e12
# What numpy does on a thread or two; the page says "about".
_FLOPS_PER_S = 3e10
_NEXT = 10


class StoredWeights(Mapping[str, np.ndarray]):
    """The tensors of a model in float32, read from its file a layer at a time: no copy of the model is kept."""

    def __init__(self, stored: StoredModel) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> np.ndarray:
        return read_values(self._stored.tensors[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.tensors)

    def __len__(self) -> int:
        return len(self._stored.tensors)

    def rows(self, name: str, ids: list[int]) -> np.ndarray:
        """Rows of a table, without the rest of it."""
        tensor = self._stored.tensors[name]
        return read_values(
            type(tensor)(
                type=tensor.type,
                shape=(len(ids), *tensor.shape[1:]),
                data=tensor.data.reshape(tensor.shape[0], -1)[ids].reshape(-1),
            )
        )


def most_tokens(config: ModelConfig) -> int:
    """How long a prompt may be: its maps and its arithmetic grow with the square of it."""
    maps = config.num_hidden_layers * config.num_attention_heads
    by_maps = int((MAP_BYTES_MAX / (2 * maps)) ** 0.5)
    by_work = int(WORK_FLOPS_MAX / inference_flops_per_token(config, TOKENS_MAX))
    return max(1, min(TOKENS_MAX, config.max_position_embeddings, by_maps, by_work))


def attend(
    stored: StoredModel, tokenizer: Tokenizer, ids: list[int], *, max_tokens: int = DEFAULT_TOKENS
) -> Generator[tuple[str, dict[str, Any]]]:
    """Run a prompt through a model in float32; yields events: ``start``, a ``layer`` each, ``end``.

    Raises:
        ConfigError: there is no token, or one that the model has no row for.
    """
    config = stored.config
    if not ids:
        raise ConfigError("the prompt is empty; write at least one character")
    if not all(0 <= token_id < config.vocab_size for token_id in ids):
        raise ConfigError(f"ids has one that is no token of this model; they are 0 to {config.vocab_size - 1:,}")
    if max_tokens < 1:
        raise ConfigError(f"max_tokens is {max_tokens}, and must be at least 1")
    taken = ids[: min(max_tokens, most_tokens(config))]
    began = time.perf_counter()
    yield "start", _start(config, tokenizer, taken, is_cut=len(taken) < len(ids))
    weights = StoredWeights(stored)
    x_TD = weights.rows("model.embed_tokens.weight", taken)
    for layer in range(config.num_hidden_layers):
        x_TD, told = _layer(config, layer, weights, x_TD, taken)
        yield "layer", told
    yield "end", {"next": _next(config, tokenizer, weights, x_TD), "seconds": round(time.perf_counter() - began, 4)}


def _start(config: ModelConfig, tokenizer: Tokenizer, ids: list[int], *, is_cut: bool) -> dict[str, Any]:
    work = len(ids) * inference_flops_per_token(config, (len(ids) + 1) // 2)
    return {
        "ids": ids,
        "texts": [_text(tokenizer, token_id) for token_id in ids],
        "num_tokens": len(ids),
        "is_cut": is_cut,
        "num_layers": config.num_hidden_layers,
        "num_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "key_value_head": [number // config.queries_per_key_value_head for number in range(config.num_attention_heads)],
        "windows": [config.window_of(layer) for layer in range(config.num_hidden_layers)],
        "estimated_s": round(work / _FLOPS_PER_S, 3),
    }


def _layer(
    config: ModelConfig, layer: int, weights: Weights, x_TD: np.ndarray, ids: list[int]
) -> tuple[np.ndarray, dict[str, Any]]:
    began = time.perf_counter()
    told: dict[str, Any] = {"layer": layer}

    def look(map_HTT: np.ndarray, k_KTQ: np.ndarray, v_KTQ: np.ndarray) -> None:
        logs = np.log2(map_HTT, out=np.zeros_like(map_HTT), where=map_HTT > 0)
        told["maps"] = packed(map_HTT)
        told["key_norms"] = packed(np.linalg.norm(k_KTQ, axis=-1), "float32")
        told["value_norms"] = packed(np.linalg.norm(v_KTQ, axis=-1), "float32")
        told["entropy_bits"] = (-(map_HTT * logs).sum(axis=-1).mean(axis=-1)).round(4).tolist()
        told["first_token_share"] = map_HTT[:, :, 0].mean(axis=-1).round(4).tolist()

    x_TD = block(config, layer, layer_weights(weights, layer), x_TD, ids, look=look)
    return x_TD, told | {"seconds": round(time.perf_counter() - began, 4)}


def _next(config: ModelConfig, tokenizer: Tokenizer, weights: Weights, x_TD: np.ndarray) -> list[dict[str, Any]]:
    state_TD = rms_norm(x_TD[-1:], weights["model.norm.weight"], config.rms_norm_eps)
    logits_TV = (state_TD @ head_of(config, weights).T)[:, : tokenizer.vocab_size]
    probabilities_V = softmax(logits_TV)[0]
    best = np.argsort(-probabilities_V, kind="stable")[:_NEXT].tolist()
    return [
        {"id": token_id, "text": _text(tokenizer, token_id), "probability": round(float(probabilities_V[token_id]), 6)}
        for token_id in best
    ]


def _text(tokenizer: Tokenizer, token_id: int) -> str:
    return tokenizer.token_bytes(token_id).decode("utf-8", "replace") if token_id < tokenizer.vocab_size else ""
