"""What running a model takes, from its sizes alone: bytes, operations, and the speed that memory allows.

To decode a token is to read every weight once, and the keys and values of all tokens before it. A processor has far
more operations to give than bytes, so the bytes decide: tokens/s <= bandwidth / bytes read a token.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from textmill.model.config import HEAD, TABLE, VALUE_EMBEDDINGS, ModelConfig
from textmill.model.flops import KvType, inference_flops_per_token, kv_cache_bytes_of, matrix_parameters

WeightType = Literal["f32", "bf16", "f16", "q8_0", "q4_0", "int8", "int4"]

_PLAIN_BYTES = {"f32": 4, "bf16": 2, "f16": 2}
# Blocks of 32 values: a scale of 16 bits, in Q4_1 a least value of 16 bits too.
_BLOCK = 32
_BLOCK_BYTES = {"q8_0": 34, "q4_0": 18, "q4_1": 20}
# What the engine keeps matrices in. Tables stay as they are stored, which is reckoned as bf16, and the head has eight
# bits: it decides between tokens.
_KEPT = {"int8": "q8_0", "int4": "q4_1"}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What a model takes in a batch of ``batch`` texts of up to ``context`` tokens each.

    Attributes:
        config: its sizes.
        kv: what keys and values are kept in.
        weight_bytes: of all weights.
        copy_bytes: of a head that is tied to the input table, which the engine keeps once more, in its own layout.
        read_bytes: of the weights that a step of decoding reads: all but the tables, of which it reads a row.
    """

    config: ModelConfig
    kv: KvType
    context: int
    batch: int
    weight_bytes: int
    copy_bytes: int
    read_bytes: int

    @property
    def kv_bytes_per_token(self) -> int:
        """2 x layers x key-value heads x head_dim x bytes; int8 has a scale for each head's key and value, too."""
        return kv_cache_bytes_of(self.config, 1, self.kv)

    @property
    def kv_bytes(self) -> int:
        """Of the whole batch at its full length. Windows bound what is read, and not what is kept."""
        return self.batch * self.context * self.kv_bytes_per_token

    @property
    def total_bytes(self) -> int:
        """Weights, the head's copy, keys and values."""
        return self.weight_bytes + self.copy_bytes + self.kv_bytes

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
    """Reckon with weights of one type: a file's, or what the engine keeps in ``int8`` and ``int4``."""
    shapes = config.tensor_shapes()
    shapes.setdefault(HEAD, shapes[TABLE])
    sizes = {name: tensor_bytes(shape, _type_of(name, weights)) for name, shape in shapes.items()}
    return of_sizes(config, sizes, kv=kv, context=context, batch=batch)


def of_sizes(config: ModelConfig, sizes: dict[str, int], *, kv: KvType, context: int, batch: int = 1) -> Estimate:
    """Reckon with the bytes of each tensor by Hugging Face's names, the head's among them whether it is tied or not."""
    total = sum(sizes.values())
    copy = sizes[HEAD] if config.tie_word_embeddings else 0
    return Estimate(
        config=config,
        kv=kv,
        context=context,
        batch=batch,
        weight_bytes=total - copy,
        copy_bytes=copy,
        read_bytes=total - sum(size for name, size in sizes.items() if _is_table(name)),
    )


def tensor_bytes(shape: tuple[int, ...], type_name: str) -> int:
    """Bytes of a tensor; the rows of a matrix are filled up to whole blocks, and vectors beside blocks are f32."""
    if type_name in _PLAIN_BYTES:
        return math.prod(shape) * _PLAIN_BYTES[type_name]
    if len(shape) == 1:
        return 4 * shape[0]
    rows, columns = shape
    return rows * -(-columns // _BLOCK) * _BLOCK_BYTES[type_name]


def _type_of(name: str, weights: WeightType) -> str:
    if weights not in _KEPT:
        return weights
    if _is_table(name) or name.endswith(".v_proj.weight"):
        return "bf16"
    return "q8_0" if name == HEAD else _KEPT[weights]


def _is_table(name: str) -> bool:
    """Whether tokens look up rows of it, and no matrix is multiplied with it; of a tied head there is a copy."""
    return name == TABLE or name.endswith(VALUE_EMBEDDINGS)
