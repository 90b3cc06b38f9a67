"""Bytes of activations, reckoned from sizes alone: what blocks save for backward, and how the loss is cut.

For a token and a layer blocks save so many values, of width d, query width q and key-value width k (heads times their
size) and feed-forward width f; each has the bytes of the activations:

========= ================================================================ ======================================
remat     values                                                           beside them, 4 bytes each
========= ================================================================ ======================================
none      4 d + 3 q + 3 k + 3 f: x, q, k, v, o, x', gate, up; and normed   two norms and a log-sum for each head
          x and x', q and k before they are turned, silu(gate) * up
llama     2 d + 2 q + 2 k + 2 f: x, q, k, v, o, x', gate, up               the same
full      d: x                                                             nothing
========= ================================================================ ======================================

Where q and k of each head are normed, ``llama`` saves them as they were projected, and both a norm for each head.
Adapters add a value for each of their ranks, where inputs are dropped a byte for each input, and with magnitudes a
value for each output (``AdapterSizes``); with ``full`` no more than in the block that is made again. Nothing here needs
torch.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from textmill.model.config import HEAD, VALUE_EMBEDDINGS, ModelConfig

ActivationType = Literal["f32", "bf16"]
_BYTES: dict[ActivationType, int] = {"f32": 4, "bf16": 2}
_F32 = 4
# Layers that are multiplied as one.
_JOINED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
# Rows of a chunk at least: 1,024 to 4,096 were no faster (V 49,152, D 576, bf16). Small vocabularies take more rows, up
# to so many bytes of logits in f32.
_CHUNK_ROWS_MIN = 512
_CHUNK_BYTES = 1 << 23
# A GPU is not busy with 512 rows; 8,192 of a vocabulary of 50,304 and their softmax are 2.5 GB.
CHUNK_ROWS_ON_GPU = 8192


@dataclasses.dataclass(frozen=True, slots=True)
class BlockBytes:
    """What a block saves: activations, and casts of its weights to their dtype."""

    activations: int
    casts: int


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class AdapterSizes:
    """What adapters add to a model, and what they keep of each token from forward to backward.

    Attributes:
        num_parameters: numbers that are learned; in f32, in the place of the model's.
        ranks: for each layer, the ranks of its adapters together: so many activations.
        num_masked: for each layer, the inputs of its adapters together, a byte each; 0 where none are dropped.
        head_rank: of the head's adapter, 0 where it has none.
        masks_head: whether inputs of that are dropped.
        num_scaled: with magnitudes, for each layer, the outputs of all products that are scaled; they are kept.
        num_magnitudes: for each layer.
    """

    num_parameters: int
    ranks: tuple[int, ...]
    num_masked: tuple[int, ...]
    head_rank: int = 0
    masks_head: bool = False
    num_scaled: tuple[int, ...] = ()
    num_magnitudes: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, config: ModelConfig, layers: Sequence[str], *, rank: int, drops: bool, dora: bool = False
    ) -> AdapterSizes:
        """Sizes of adapters of a model's ``layers``, by their names, all of one rank."""
        shapes = config.with_head_of([f"{name}.weight" for name in layers]).tensor_shapes()
        shape_of = {name: shapes[f"{name}.weight"] for name in layers}
        blocks = [f"model.layers.{number}." for number in range(config.num_hidden_layers)]
        inside = [{name: shape_of[name] for name in layers if name.startswith(block)} for block in blocks]
        num_outputs = [sum(num_out for num_out, _ in block.values()) for block in inside]
        return cls(
            num_parameters=sum(
                rank * (num_out + num_in) + (num_out if dora else 0) for num_out, num_in in shape_of.values()
            ),
            ranks=tuple(rank * len(block) for block in inside),
            num_masked=tuple(sum(num_in for _, num_in in block.values()) if drops else 0 for block in inside),
            head_rank=rank if HEAD.removesuffix(".weight") in layers else 0,
            masks_head=drops and HEAD.removesuffix(".weight") in layers,
            num_scaled=tuple(_joined_outputs(block, shapes) for block in inside) if dora else (),
            num_magnitudes=tuple(num_outputs) if dora else (),
        )

    def saved_bytes(self, num_tokens: int, dtype: ActivationType) -> tuple[int, ...]:
        """Bytes that the adapters of each layer save, with another ``remat`` than ``full``.

        Beside what depends on tokens, magnitudes keep in f32 the norms of their rows, and a scale for each output.
        """
        none = (0,) * len(self.ranks)
        return tuple(
            num_tokens * ((ranks + scaled) * _BYTES[dtype] + masked) + _F32 * (scaled + magnitudes)
            for ranks, masked, scaled, magnitudes in zip(
                self.ranks, self.num_masked, self.num_scaled or none, self.num_magnitudes or none, strict=True
            )
        )

    def head_bytes(self, width: int, num_tokens: int, dtype: ActivationType) -> int:
        """Bytes of the head's adapter beside the states, at most: thin rows and their gradient, that of states anew.

        Where inputs are dropped, they are kept, and so is which of them are.
        """
        if not self.head_rank:
            return 0
        dropped = width * (_BYTES[dtype] + 1) if self.masks_head else 0
        return num_tokens * ((2 * self.head_rank + width) * _BYTES[dtype] + dropped)


def saved_bytes_per_block(
    config: ModelConfig,
    *,
    batch: int,
    context: int,
    dtype: ActivationType,
    remat: Literal["none", "llama", "full"],
) -> BlockBytes:
    """Bytes that a block holds from forward to backward, each storage counted once and parameters not at all.

    They do not depend on how rows are cut into documents: masks are shared by all layers.

    Args:
        config: sizes; all blocks of a model are alike in this.
        batch: rows.
        context: tokens of a row.
        dtype: of activations; weights are in f32.
        remat: as in ``textmill.model.remat``.
    """
    num_tokens = batch * context
    width, inner = config.hidden_size, config.intermediate_size
    if remat == "full":
        return BlockBytes(num_tokens * width * _BYTES[dtype], 0)
    heads = config.num_attention_heads + config.num_key_value_heads
    turned = heads * config.head_dim
    values = 2 * width + 2 * turned + 2 * inner
    numbers = 2 + config.num_attention_heads + (heads if config.qk_norm else 0)
    if remat == "none":
        values += 2 * width + turned + inner
    casts = _BYTES[dtype] * block_matrix_parameters(config) if remat == "none" and dtype != "f32" else 0
    return BlockBytes(num_tokens * (values * _BYTES[dtype] + numbers * _F32), casts)


def _joined_outputs(layers: Iterable[str], shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Outputs of all products that any of the layers is a part of."""
    joined = {beside for name in layers for beside in _beside(name)}
    return sum(shapes[f"{name}.weight"][0] for name in joined)


def _beside(name: str) -> list[str]:
    """A layer, and those that are multiplied as one with it."""
    stem, _, part = name.rpartition(".")
    group = next((group for group in _JOINED if part in group), (part,))
    return [f"{stem}.{one}" for one in group]


def chunk_rows(vocab_size: int) -> int:
    """Rows that go through head and softmax at once."""
    return max(_CHUNK_ROWS_MIN, _CHUNK_BYTES // (_F32 * vocab_size))


def block_matrix_parameters(config: ModelConfig) -> int:
    """Parameters of one block that are multiplied with."""
    prefix = "model.layers.0."
    return sum(
        math.prod(shape)
        for name, shape in config.tensor_shapes().items()
        if name.startswith(prefix) and len(shape) == 2 and not name.endswith(VALUE_EMBEDDINGS)
    )
