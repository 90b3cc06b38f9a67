"""The forward pass in torch, for every device but the CPU: all texts of a step together, keys and values in pages."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.infer.runners.runner import Chunk
from textmill.infer.runners.torch_attention import Attention
from textmill.infer.runners.torch_batch import Batch, ragged_batch
from textmill.infer.runners.torch_forward import Forward
from textmill.infer.runners.torch_graphs import CudaRecorder, DecodeGraphs, Recorder
from textmill.infer.runners.torch_pages import Pages
from textmill.infer.runners.torch_sdpa import SdpaAttention
from textmill.infer.runners.torch_varlen import VARLEN_BLOCK_SIZE, VarlenAttention, why_not_varlen
from textmill.infer.runners.torch_weights import STORED_DTYPES, Weights, read_weights
from textmill.model.config import ModelConfig
from textmill.model.flops import kv_cache_bytes

BLOCK_SIZE = 16
_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
# Keys and values for so many texts of the whole context are more than a batch has.
_CONTEXTS_MAX = 64
_KV_MEMORY = 1 << 30
# What is free on a CUDA device after the weights; the rest is for activations, logits and graphs.
_KV_SHARE = 0.8


class TorchRunner:
    """A model on a device of torch's.

    ``tolerance``: the order of sums in products and attention follows how many tokens there are, so a text's logits
    depend on its neighbours and its chunks as far as rounding goes. SmolLM2-135M-Instruct's logits, which reach 38,
    differ by 1e-4 with weights and cache in f32, by 0.14 with a cache in bf16, and by 1.2 with both in bf16; the
    tolerances are three to nine times that.

    Attributes:
        attention: the way it attends, ``varlen`` or ``sdpa``.
        graphs: the steps that are recorded, or None where steps are not.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        pages: Pages,
        attention: Attention,
        *,
        recorder: Recorder | None = None,
    ) -> None:
        """Take a model and its pages on one device; steps of single tokens are recorded where a recorder is given."""
        self.block_size = pages.block_size
        self.num_blocks = pages.num_blocks
        self.tolerance = 4.0 if weights.dtype != torch.float32 else 0.5 if pages.dtype != torch.float32 else 1e-3
        self.weights = weights
        self.pages = pages
        self.attention = attention
        self._forward = Forward(config, weights, pages, attention)
        self.graphs = None if recorder is None else DecodeGraphs(self._forward, pages, recorder)

    @torch.inference_mode()
    def forward(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """Append chunks of different texts in one pass; float32 [sum of num_logits, V], in their order."""
        with self._on_device():
            if self.graphs is not None and self.graphs.takes(chunks):
                return _on_host(self.graphs.forward(chunks))
            return _on_host(self._forward(self._batch(chunks)))

    @torch.inference_mode()
    def states(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """The same for the states that logits are made of: float32 [sum of num_logits, width], normed."""
        with self._on_device():
            return _on_host(self._forward.states(self._batch(chunks)))

    def _on_device(self) -> contextlib.AbstractContextManager[None]:
        device = self.weights.device
        return torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()

    def _batch(self, chunks: Sequence[Chunk]) -> Batch:
        return ragged_batch(
            chunks,
            block_size=self.block_size,
            spare_block=self.pages.spare_block,
            short_max=self.attention.short_max,
            device=self.weights.device,
        )

    @torch.inference_mode()
    def copy_block(self, source: int, target: int) -> None:
        """Make a block's keys and values those of another, for texts that part within it."""
        self.pages.copy(source, target)


def open_runner(
    stored: StoredModel,
    *,
    device: str,
    weights: str = "auto",
    kv: str = "bf16",
    context: int,
    threads: int | None = None,
    kv_memory: int | None = None,
    use_varlen: bool = True,
    use_graphs: bool = True,
) -> TorchRunner:
    """Load a model's tensors onto a device; arguments as in ``textmill.load``, and their ranges checked there.

    ``threads`` holds for everything that torch does in this process. ``use_varlen`` and ``use_graphs`` are what a CUDA
    device is used with where it can; without, the same is computed more slowly. Where it cannot, a warning says why.

    Raises:
        ConfigError: for a device that is not there, a type that torch does not compute in, a model that the device does
            not hold, or too little ``kv_memory``.
        DataError: for tensors that are damaged.
    """
    _check_device(device)
    _check_type("weights", weights, ("auto", *_DTYPES), device)
    _check_type("kv", kv, tuple(_DTYPES), device)
    if threads is not None:
        torch.set_num_threads(threads)
    on = torch.empty(0, device=device).device  # "cuda" is the current one, by its number
    config, kv_dtype = stored.config, _DTYPES[kv]
    dtype = choose_dtype(weights, stored.tensors, device)
    is_varlen = use_varlen and _reads_pages(on, weights_dtype=dtype, kv_dtype=kv_dtype, head_dim=config.head_dim)
    try:
        read = read_weights(stored, dtype, on)
        block_size = VARLEN_BLOCK_SIZE if is_varlen else BLOCK_SIZE
        num_blocks = _num_blocks(config, kv_dtype, context, block_size, kv_memory, on)
        pages = Pages(config, num_blocks=num_blocks, block_size=block_size, dtype=kv_dtype, device=on)
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f'{stored.path} does not fit into the memory of "{device}", which has {units.num_bytes(_free(on))} left. '
            'Take fewer bits (weights="bf16", kv="bf16"), less kv_memory where you gave one, or a smaller model'
        ) from error
    attention = VarlenAttention(pages) if is_varlen else SdpaAttention(pages)
    recorder = CudaRecorder(on) if use_graphs and on.type == "cuda" else None
    return TorchRunner(config, read, pages, attention, recorder=recorder)


def choose_dtype(weights: str, tensors: Mapping[str, StoredTensor], device: str) -> torch.dtype:
    """What the weights are kept and computed in.

    ``auto`` is the widest type that is stored; f32 for blocks of GGUF, and where that is 16 bits that the CPU has no
    instructions for.
    """
    if weights != "auto":
        return _DTYPES[weights]
    stored = {STORED_DTYPES.get(tensor.type, torch.float32) for tensor in tensors.values()}
    if len(stored) > 1:
        return torch.float32
    (dtype,) = stored
    slow = dtype == torch.float16 or (dtype == torch.bfloat16 and not _cpu_has_bf16())
    return torch.float32 if slow and torch.device(device).type == "cpu" else dtype


def _reads_pages(on: torch.device, *, weights_dtype: torch.dtype, kv_dtype: torch.dtype, head_dim: int) -> bool:
    """Whether attention can read the pages itself; warns where that is a CUDA device, and users expect it to."""
    why_not = why_not_varlen(on, weights_dtype=weights_dtype, kv_dtype=kv_dtype, head_dim=head_dim)
    if why_not is not None and on.type == "cuda":
        # As if from the caller of textmill.load, through _open_runner and open_runner.
        warnings.warn(f"attention gathers its pages on {on}, which is slower: {why_not}", stacklevel=5)
    return why_not is None


def _num_blocks(  # noqa: PLR0917
    config: ModelConfig, dtype: torch.dtype, context: int, block_size: int, kv_memory: int | None, device: torch.device
) -> int:
    """Blocks for texts of the whole context: as many as a batch has, or as a CUDA device still holds."""
    block_bytes = kv_cache_bytes(config, block_size, dtype.itemsize)
    one_context = -(-context // block_size)
    if kv_memory is not None:
        if kv_memory < block_bytes:
            raise ConfigError(
                f"kv_memory is {kv_memory:,} bytes, and the keys and values of {block_size} tokens are "
                f"{block_bytes:,}; give it room for the longest text at least"
            )
        return kv_memory // block_bytes
    if device.type != "cuda":
        return max(one_context, min(_KV_MEMORY // block_bytes, _CONTEXTS_MAX * one_context))
    fitting = int(_free(device) * _KV_SHARE) // block_bytes
    if fitting == 0:
        raise ConfigError(
            f"{units.num_bytes(_free(device))} of memory are left on {device} for keys and values, and those of "
            f"{block_size} tokens take {units.num_bytes(block_bytes)}. Take a smaller model"
        )
    return min(fitting, _CONTEXTS_MAX * one_context)


def _free(device: torch.device) -> int:
    """Bytes that are free on a CUDA device; 0 for others, which do not say."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def _on_host(logits_RV: torch.Tensor) -> np.ndarray:
    """A copy on the host, float32; a CUDA device writes it without a detour, and what it was told before has ended."""
    on_host = torch.empty(logits_RV.shape, dtype=torch.float32, pin_memory=logits_RV.is_cuda)
    on_host.copy_(logits_RV)
    return on_host.numpy()


def _check_type(name: str, value: str, allowed: tuple[str, ...], device: str) -> None:
    if value not in allowed:
        listed = ", ".join(f'"{choice}"' for choice in allowed)
        raise ConfigError(
            f'{name} is "{value}", which only the native engine has (device="cpu"); on "{device}" it may be {listed}'
        )


def _check_device(device: str) -> None:
    """Raise ``ConfigError`` where torch does not know a device, the machine lacks it, or it gives nothing back."""
    try:
        torch.zeros(1, device=device).cpu()  # "meta" has tensors, and no values
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(".")
        raise ConfigError(
            f'device is "{device}", which cannot be used here ({reason}). Take "cpu", which always can, or "cuda" '
            "where torch finds a GPU"
        ) from error


def _cpu_has_bf16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"))
