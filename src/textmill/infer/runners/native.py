"""The forward pass in C++: ``cpp/engine``, which gives the same bits however texts are cut, batched and threaded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeAlias

import numpy as np

from textmill import _core
from textmill.base import units
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.infer.runners.native_adapters import Adapter, set_adapter
from textmill.infer.runners.native_weights import check_types, is_table, kept_sizes, kept_type, layer_and_part
from textmill.infer.runners.runner import Chunk
from textmill.model.flops import KvType, kv_cache_bytes_of
from textmill.model.machine import memory, num_cores
from textmill.model.rope_scaling import rope_frequencies

_Arrays: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

BLOCK_SIZE: int = _core.Inference.block_size
# Room for so many texts of the whole context, where a quarter of the free memory holds them.
_CONTEXTS_MAX = 8
# A model that cannot hold 256 tokens is of no use.
_BLOCKS_MIN = 256 // BLOCK_SIZE


class NativeRunner:
    """A model on the processor.

    ``tolerance`` is 0: on one machine a text gives the same bits alone, in a batch, in chunks, after another text that
    shares its beginning, and with any number of threads.
    """

    tolerance = 0.0
    block_size = BLOCK_SIZE

    def __init__(self, core: _core.Inference, *, num_blocks: int) -> None:
        """Take a model whose weights are set and whose cache is open."""
        self.num_blocks = num_blocks
        self.isa = core.isa
        self.num_threads = core.num_threads
        self._core = core

    def forward(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """Append chunks of different texts in one pass; float32 [sum of num_logits, V], in their order."""
        return self._core.forward(*_arrays(chunks), states=False)

    def states(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """The same for the states that logits are made of: float32 [sum of num_logits, width], normed."""
        return self._core.forward(*_arrays(chunks), states=True)

    def copy_block(self, source: int, target: int) -> None:
        """Make a block's keys and values those of another, for texts that part within it."""
        self._core.copy_block(source, target)


def open_runner(
    stored: StoredModel,
    *,
    weights: str = "auto",
    kv: KvType = "bf16",
    context: int,
    threads: int | None = None,
    kv_memory: int | None = None,
    adapters: Sequence[Adapter] = (),
) -> NativeRunner:
    """Read a model's tensors into the native engine; arguments as in ``textmill.load``, and their ranges checked there.

    A chunk's ``adapter`` is a place in ``adapters``.

    Raises:
        ConfigError: weights that cannot be kept so, or more than the memory that is free.
        DataError: a tensor that holds NaN or infinity.
    """
    config = stored.config
    check_types(stored, weights)
    beside = sum(adapter.num_bytes for adapter in adapters)
    _, num_blocks = plan_memory(stored, weights, kv, context, kv_memory, free=memory().available, beside=beside)
    frequencies, scale = rope_frequencies(config)
    layers = range(config.num_hidden_layers)
    try:
        core = _core.Inference(
            vocab_size=config.vocab_size,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            rms_norm_eps=config.rms_norm_eps,
            qk_norm=config.qk_norm,
            rope_frequencies=frequencies,
            rope_scale=scale,
            windows=[config.window_of(layer) or 0 for layer in layers],
            rotates=[config.rotates(layer) for layer in layers],
            value_embeddings=[config.embeds_values(layer) for layer in layers],
            num_threads=threads or num_cores(),
        )
    except ValueError as error:
        raise ConfigError(f"{stored.path}: {error}") from error
    except RuntimeError as error:  # what std::thread throws
        raise ConfigError(
            f"the system does not start {threads or num_cores()} threads ({error}); ask for fewer"
        ) from error
    for name, tensor in stored.tensors.items():
        _set(core, stored, name, tensor, weights)
    if config.tie_word_embeddings:
        name = "model.embed_tokens.weight"
        _set(core, stored, "lm_head.weight", stored.tensors[name], weights)
    for place, adapter in enumerate(adapters):
        number = set_adapter(core, adapter)
        assert number == place, "the core numbers adapters in their order"
    core.open_cache(kv, num_blocks)
    return NativeRunner(core, num_blocks=num_blocks)


def _set(core: _core.Inference, stored: StoredModel, name: str, tensor: StoredTensor, weights: str) -> None:
    layer, part = layer_and_part(name)
    try:
        if is_table(name):
            core.set_table(layer, tensor.type, tensor.data)
        elif len(tensor.shape) == 2:
            kept = kept_type(name, tensor.type, weights)
            core.set_matrix(layer, part, kept, tensor.type, tensor.data, tensor.row_order)
        else:
            core.set_vector(layer, part, tensor.type, tensor.data, tensor.row_order)
    except ValueError as error:
        raise DataError(f"{stored.path}: {name}: {error}. Copy or download the model again") from error


def plan_memory(
    stored: StoredModel, weights: str, kv: KvType, context: int, kv_memory: int | None, *, free: int, beside: int = 0
) -> tuple[int, int]:
    """Bytes of the weights, and blocks for texts where weights and at least one whole context fit into ``free`` bytes.

    ``beside`` are bytes of adapters, which count as weights. Memory is taken when it is first written, lowest blocks
    first: room that is never used costs nothing.

    Raises:
        ConfigError: they do not fit.
    """
    needed = sum(kept_sizes(stored, weights).values()) + beside
    if needed > free:
        raise ConfigError(
            f"{stored.path} takes {units.num_bytes(needed)} of memory with weights {weights}, and "
            f"{units.num_bytes(free)} are free. Take fewer bits (weights int8 or int4), or a smaller model"
        )
    return needed, _blocks_within(
        free - needed,
        block_bytes=kv_cache_bytes_of(stored.config, BLOCK_SIZE, kv),
        one_context=-(-context // BLOCK_SIZE),
        kv_memory=kv_memory,
    )


def _blocks_within(free: int, *, block_bytes: int, one_context: int, kv_memory: int | None) -> int:
    """Blocks for several texts of the whole context, for one where these are much, or for what the memory holds."""
    if kv_memory is None:
        fitting = free // block_bytes
        if fitting < min(one_context, _BLOCKS_MIN):
            raise ConfigError(
                f"{units.num_bytes(free)} of memory are left for keys and values, and those of {BLOCK_SIZE} tokens "
                f"take {units.num_bytes(block_bytes)}. Take fewer bits (kv int8), or a smaller model"
            )
        return min(max(one_context, min(_CONTEXTS_MAX * one_context, fitting // 4)), fitting)
    if kv_memory < block_bytes:
        raise ConfigError(
            f"kv_memory is {kv_memory:,} bytes, and the keys and values of {BLOCK_SIZE} tokens take {block_bytes:,}"
        )
    if kv_memory > free:
        raise ConfigError(f"kv_memory is {units.num_bytes(kv_memory)}, and {units.num_bytes(free)} of memory are free")
    return kv_memory // block_bytes


def _arrays(chunks: Sequence[Chunk]) -> _Arrays:
    """Chunks as the core takes them."""
    return (
        _int32(token_id for chunk in chunks for token_id in chunk.ids),
        _ends(len(chunk.ids) for chunk in chunks),
        _int32(chunk.start for chunk in chunks),
        _int32(block for chunk in chunks for block in chunk.blocks),
        _ends(len(chunk.blocks) for chunk in chunks),
        _int32(chunk.num_logits for chunk in chunks),
        _int32(-1 if chunk.adapter is None else chunk.adapter for chunk in chunks),
    )


def _int32(numbers: object) -> np.ndarray:
    return np.fromiter(numbers, dtype=np.int32)  # type: ignore[call-overload]


def _ends(lengths: object) -> np.ndarray:
    return np.array([0, *accumulate(lengths)], dtype=np.int32)  # type: ignore[call-overload]
