"""A model's weights on a device, as the runner multiplies with them: q, k and v are one matrix, gate and up another.

T tokens, D width, F feed-forward, V vocabulary, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch

from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.model.config import VALUE_EMBEDDINGS

STORED_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LayerWeights:
    """One layer. Matrices are [out, in]; a bias, or a norm of heads, is None where the model has none.

    Attributes:
        input_norm, mlp_norm: [D].
        qkv, qkv_bias: [(H + 2K) Q, D]: all query heads, then all of the keys, then all of the values.
        q_norm, k_norm: [Q].
        values: [V, K Q]: rows that are added to the tokens' values; None where the layer has no value embeddings.
        o, o_bias: [D, H Q].
        gate_up, gate_up_bias: [2F, D]: the gate, then up.
        down, down_bias: [D, F].
    """

    input_norm: torch.Tensor
    qkv: torch.Tensor
    qkv_bias: torch.Tensor | None
    q_norm: torch.Tensor | None
    k_norm: torch.Tensor | None
    values: torch.Tensor | None
    o: torch.Tensor
    o_bias: torch.Tensor | None
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    gate_up_bias: torch.Tensor | None
    down: torch.Tensor
    down_bias: torch.Tensor | None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """All of a model, in one dtype on one device: ``table`` and ``head`` are [V, D], the same tensor where tied."""

    table: torch.Tensor
    layers: Sequence[LayerWeights]
    norm: torch.Tensor
    head: torch.Tensor

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are kept and multiplied in."""
        return self.table.dtype

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.table.device

    @property
    def num_bytes_read(self) -> int:
        """Bytes that every step reads: all of them, but for tables of tokens that are not the head too."""
        names = [field.name for field in dataclasses.fields(LayerWeights) if field.name != "values"]
        layers = (getattr(layer, name) for layer in self.layers for name in names)
        return sum(tensor.nbytes for tensor in (*layers, self.norm, self.head) if tensor is not None)


def read_weights(stored: StoredModel, dtype: torch.dtype, device: torch.device) -> Weights:
    """Read a model's tensors onto a device.

    Raises:
        DataError: a tensor is damaged.
    """

    def read(*names: str) -> torch.Tensor:
        """Tensors one below the other; parts of a matrix are never twice on the device."""
        shapes = [stored.tensors[name].shape for name in names]
        whole = torch.empty((sum(shape[0] for shape in shapes), *shapes[0][1:]), dtype=dtype, device=device)
        for part, name in zip(whole.split([shape[0] for shape in shapes]), names, strict=True):
            part.copy_(_values(stored.tensors[name]))
        return whole

    def read_if_there(*names: str) -> torch.Tensor | None:
        return read(*names) if names[0] in stored.tensors else None

    config = stored.config
    table = read("model.embed_tokens.weight")
    return Weights(
        table=table,
        layers=[_read_layer(f"model.layers.{n}.", read, read_if_there) for n in range(config.num_hidden_layers)],
        norm=read("model.norm.weight"),
        head=table if config.tie_word_embeddings else read("lm_head.weight"),
    )


def _read_layer(
    prefix: str, read: Callable[..., torch.Tensor], read_if_there: Callable[..., torch.Tensor | None]
) -> LayerWeights:
    attention, mlp = f"{prefix}self_attn.", f"{prefix}mlp."
    qkv, gate_up = [f"{attention}{name}_proj" for name in "qkv"], [f"{mlp}gate_proj", f"{mlp}up_proj"]
    return LayerWeights(
        input_norm=read(f"{prefix}input_layernorm.weight"),
        qkv=read(*(f"{name}.weight" for name in qkv)),
        qkv_bias=read_if_there(*(f"{name}.bias" for name in qkv)),
        q_norm=read_if_there(f"{attention}q_norm.weight"),
        k_norm=read_if_there(f"{attention}k_norm.weight"),
        values=read_if_there(f"{prefix}{VALUE_EMBEDDINGS}"),
        o=read(f"{attention}o_proj.weight"),
        o_bias=read_if_there(f"{attention}o_proj.bias"),
        mlp_norm=read(f"{prefix}post_attention_layernorm.weight"),
        gate_up=read(*(f"{name}.weight" for name in gate_up)),
        gate_up_bias=read_if_there(*(f"{name}.bias" for name in gate_up)),
        down=read(f"{mlp}down_proj.weight"),
        down_bias=read_if_there(f"{mlp}down_proj.bias"),
    )


def _values(tensor: StoredTensor) -> torch.Tensor:
    """A stored tensor's values, without a conversion where its type is one of torch's and its rows lie in order."""
    dtype = STORED_DTYPES.get(tensor.type)
    if dtype is None or tensor.row_order is not None:
        return torch.from_numpy(read_values(tensor))
    return torch.from_numpy(np.array(tensor.data)).view(dtype).view(tensor.shape)
