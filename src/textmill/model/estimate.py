"""What running a model takes, from its sizes alone: bytes, operations, and the speed that memory allows.

To decode a token is to read every weight once, and the keys and values of all tokens before it. A processor has far
more operations to give than bytes, so the bytes decide: tokens/s <= bandwidth / bytes read a token.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from textmill.model.config import ModelConfig
from textmill.model.flops import inference_flops_per_token, kv_cache_bytes, matrix_parameters

WeightType = Literal["f32", "bf16", "f16", "int8", "int4"]
KvType = Literal["f32", "bf16", "f16", "int8"]

_PLAIN_BYTES = {"f32": 4, "bf16": 2, "f16": 2}
# Blocks of 32 values with one scale of 16 bits, as in Q8_0 and Q4_0.
_BLOCK = 32
_BLOCK_BYTES = {"int8": 34, "int4": 18}
KV_BYTES = {"f32": 4, "bf16": 2, "f16": 2, "int8": 1}
"""Bytes of a key's or a value's one number."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a model takes in a batch of ``batch`` texts of up to ``context`` tokens each.

    Attributes:
        config: its sizes.
        kv: what keys and values are kept in.
        weight_bytes: of all weights.
        read_bytes: of the weights that a step of decoding reads: all but an input table that is not the head too.
    """

    config: ModelConfig
    kv: KvType
    context: int
    batch: int
    weight_bytes: int
    read_bytes: int

    @property
    def kv_bytes_per_token(self) -> int:
        """2 x layers x key-value heads x head_dim x bytes."""
        return kv_cache_bytes(self.config, 1, KV_BYTES[self.kv])

    @property
    def kv_bytes(self) -> int:
        """Of the whole batch at its full length. Windows bound what is read, and not what is kept."""
        return self.batch * self.context * self.kv_bytes_per_token

    @property
    def total_bytes(self) -> int:
        """Weights, keys and values."""
        return self.weight_bytes + self.kv_bytes

    @property
    def decode_flops(self) -> int:
        """Floating-point operations of one more token at the end of a full context."""
        return inference_flops_per_token(self.config, self.context)

    @property
    def prefill_flops(self) -> int:
        """Operations of a token of the prompt, attention aside: the head is needed after the last one only."""
        return 2 * (matrix_parameters(self.config) - self.config.vocab_size * self.config.hidden_size)

    def step_bytes(self, num_tokens: int) -> int:
        """Bytes that a step of decoding reads: the weights once, and each text's ``num_tokens`` keys and values."""
        return self.read_bytes + self.batch * self._kv_read_bytes(num_tokens)

    def intensity(self, num_tokens: int) -> float:
        """Floating-point operations for each byte that a step of decoding reads."""
        flops = self.batch * inference_flops_per_token(self.config, num_tokens)
        return flops / self.step_bytes(num_tokens)

    def tokens_per_s(self, bandwidth: float, num_tokens: int) -> float:
        """The most tokens a second, over the batch, that ``bandwidth`` bytes a second allow."""
        return self.batch * bandwidth / self.step_bytes(num_tokens)

    def _kv_read_bytes(self, num_tokens: int) -> int:
        per_layer = self.kv_bytes_per_token // self.config.num_hidden_layers
        windows = (self.config.window_of(layer) for layer in range(self.config.num_hidden_layers))
        return sum(per_layer * min(num_tokens, window or num_tokens) for window in windows)


def estimate(config: ModelConfig, *, weights: WeightType, kv: KvType, context: int, batch: int = 1) -> Estimate:
    """Reckon with weights of one type; norms and biases stay f32 beside int8 and int4."""
    shapes = config.tensor_shapes()
    sizes = {name: tensor_bytes(shape, weights) for name, shape in shapes.items()}
    return of_sizes(config, sizes, kv=kv, context=context, batch=batch)


def of_sizes(config: ModelConfig, sizes: dict[str, int], *, kv: KvType, context: int, batch: int = 1) -> Estimate:
    """Reckon with the bytes of each tensor, by Hugging Face's names, as a file has them."""
    total = sum(sizes.values())
    unread = 0 if config.tie_word_embeddings else sizes["model.embed_tokens.weight"]
    return Estimate(config=config, kv=kv, context=context, batch=batch, weight_bytes=total, read_bytes=total - unread)


def tensor_bytes(shape: tuple[int, ...], weights: WeightType) -> int:
    """Bytes of a tensor; the rows of a matrix are filled up to whole blocks."""
    if weights in _PLAIN_BYTES:
        return math.prod(shape) * _PLAIN_BYTES[weights]
    if len(shape) == 1:
        return 4 * shape[0]
    rows, columns = shape
    return rows * -(-columns // _BLOCK) * _BLOCK_BYTES[weights]
