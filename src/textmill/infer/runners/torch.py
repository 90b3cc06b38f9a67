"""The forward pass in torch, a text at a time, keys and values in blocks: for every device but the CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from textmill.base.errors import ConfigError
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.infer.runners.runner import Chunk
from textmill.model.attention import KVCache
from textmill.model.config import ModelConfig
from textmill.model.flops import kv_cache_bytes
from textmill.model.llama import Llama

BLOCK_SIZE = 16
_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
_STORED_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
# Keys and values for so many texts of the whole context are more than a batch has.
_CONTEXTS_MAX = 64
_KV_MEMORY = 1 << 30


class TorchRunner:
    """Texts are run one after another, so what a text gives does not depend on its neighbours.

    ``tolerance``: how a text is cut into chunks changes the order of sums in matrix products and attention. On random
    weights of SmolLM2-135M's shape, whose logits reach 2.3, they differ by 2e-6 with weights and cache in f32, and by
    5e-3 with a cache in bf16; logits of trained models are ten times as large.
    """

    def __init__(self, model: Llama, *, kv_dtype: torch.dtype, num_blocks: int, block_size: int = BLOCK_SIZE) -> None:
        """Take a model on its device, and room for ``num_blocks`` blocks of ``block_size`` tokens there."""
        self.block_size = block_size
        self.num_blocks = num_blocks
        self._model = model.eval().requires_grad_(False)
        weight = model.model.norm.weight
        self.tolerance = 1e-4 if {kv_dtype, weight.dtype} == {torch.float32} else 0.1
        self._device = weight.device
        self._places = _Places(model.config, num_blocks * block_size, kv_dtype, self._device)

    @torch.inference_mode()
    def forward(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """Append chunks of different texts; float32 [sum of num_logits, V], in their order."""
        logits = [self._logits(chunk) for chunk in chunks]
        return torch.cat(logits).float().cpu().numpy()

    def _logits(self, chunk: Chunk) -> torch.Tensor:
        cache = _BlockCache(self._places, chunk, self.block_size)
        ids_BT = torch.tensor([list(chunk.ids)], dtype=torch.int64, device=self._device)
        x_TD = self._model.backbone(ids_BT, cache)[0]
        return self._model.head(x_TD[len(chunk.ids) - chunk.num_logits :])


class _Places:
    """Keys and values of all blocks, [layers, K, places, Q]: block b has the places from b * block_size on."""

    def __init__(self, config: ModelConfig, num_places: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (config.num_hidden_layers, config.num_key_value_heads, num_places, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)


class _BlockCache(KVCache):
    """What ``KVCache`` is to the model, for one chunk of one text whose tokens lie in blocks."""

    def __init__(self, places: _Places, chunk: Chunk, block_size: int) -> None:
        blocks = torch.tensor(list(chunk.blocks), dtype=torch.int64, device=places.keys.device)
        offsets = torch.arange(block_size, device=places.keys.device)
        self.keys, self.values = places.keys, places.values
        self._places = (blocks[:, None] * block_size + offsets).flatten()
        self.length = chunk.start

    @property
    def capacity(self) -> int:
        """How many tokens the text's blocks hold."""
        return len(self._places)

    def append(self, layer: int, k_BKTQ: torch.Tensor, v_BKTQ: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values; return all of the text's, [1, K, S, Q], in the dtype given."""
        places = self._places[: self.length + k_BKTQ.shape[2]]
        new = places[self.length :]
        keys, values = self.keys[layer], self.values[layer]
        keys[:, new] = k_BKTQ[0].to(keys.dtype)
        values[:, new] = v_BKTQ[0].to(values.dtype)
        return keys[:, places][None].to(k_BKTQ.dtype), values[:, places][None].to(v_BKTQ.dtype)


def open_runner(
    stored: StoredModel,
    *,
    device: str,
    weights: str = "auto",
    kv: str = "bf16",
    context: int,
    threads: int | None = None,
    kv_memory: int | None = None,
) -> TorchRunner:
    """Load a model's tensors onto a device; arguments as in ``textmill.load``, and their ranges checked there.

    ``threads`` holds for everything that torch does in this process.

    Raises:
        ConfigError: for a device that is not there, a type that torch does not compute in, or too little ``kv_memory``.
        DataError: for tensors that are damaged.
    """
    _check_device(device)
    _check_type("weights", weights, ("auto", *_DTYPES), device)
    _check_type("kv", kv, tuple(_DTYPES), device)
    if threads is not None:
        torch.set_num_threads(threads)
    num_blocks = _num_blocks(stored.config, _DTYPES[kv], context, kv_memory, torch.device(device))
    model = Llama(stored.config).to(device=device, dtype=choose_dtype(weights, stored.tensors, device))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(_values(stored.tensors[name]))
    return TorchRunner(model, kv_dtype=_DTYPES[kv], num_blocks=num_blocks)


def choose_dtype(weights: str, tensors: Mapping[str, StoredTensor], device: str) -> torch.dtype:
    """What the weights are kept and computed in.

    ``auto`` is the widest type that is stored; f32 for blocks of GGUF, and where that is 16 bits that the CPU has no
    instructions for.
    """
    if weights != "auto":
        return _DTYPES[weights]
    stored = {_STORED_DTYPES.get(tensor.type, torch.float32) for tensor in tensors.values()}
    if len(stored) > 1:
        return torch.float32
    (dtype,) = stored
    slow = dtype == torch.float16 or (dtype == torch.bfloat16 and not _cpu_has_bf16())
    return torch.float32 if slow and torch.device(device).type == "cpu" else dtype


def _values(tensor: StoredTensor) -> torch.Tensor:
    """A stored tensor's values, without a copy where its type is one of torch's and its rows lie in order."""
    dtype = _STORED_DTYPES.get(tensor.type)
    if dtype is None or tensor.row_order is not None:
        return torch.from_numpy(read_values(tensor))
    return torch.from_numpy(np.array(tensor.data)).view(dtype).view(tensor.shape)


def _num_blocks(
    config: ModelConfig, dtype: torch.dtype, context: int, kv_memory: int | None, device: torch.device
) -> int:
    block_bytes = kv_cache_bytes(config, BLOCK_SIZE, dtype.itemsize)
    one_context = -(-context // BLOCK_SIZE)
    if kv_memory is None:
        free = torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else _KV_MEMORY
        return max(one_context, min(free // block_bytes, _CONTEXTS_MAX * one_context))
    if kv_memory < block_bytes:
        raise ConfigError(
            f"kv_memory is {kv_memory:,} bytes, and the keys and values of {BLOCK_SIZE} tokens are {block_bytes:,}; "
            "give it room for the longest text at least"
        )
    return kv_memory // block_bytes


def _check_type(name: str, value: str, allowed: tuple[str, ...], device: str) -> None:
    if value not in allowed:
        listed = ", ".join(f'"{choice}"' for choice in allowed)
        raise ConfigError(
            f'{name} is "{value}", which only the native engine has (device="cpu"); on "{device}" it may be {listed}'
        )


def _check_device(device: str) -> None:
    """Raise ``ConfigError`` where torch does not know a device or the machine lacks it."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f'device is "{device}", which cannot be used here ({reason}); "cpu" always can') from error


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"))
