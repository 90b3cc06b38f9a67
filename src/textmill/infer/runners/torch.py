"""The forward pass in torch, a text at a time: what runs a model until the native engine does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from textmill.base.errors import ConfigError
from textmill.checkpoint.huggingface import load_tensors
from textmill.checkpoint.tensors import as_torch, fill_model
from textmill.model.attention import KVCache
from textmill.model.config import ModelConfig
from textmill.model.llama import Llama

_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
# Logits of whole vocabularies for 512 tokens at once: 100 MB for 49k tokens.
_LOGITS_ROWS = 512


class TorchRunner:
    """Texts are run one after another, so what a text gives does not depend on its neighbours.

    ``tolerance``: how a text is cut into chunks changes the order of sums in matrix products and attention. On random
    weights of SmolLM2-135M's shape, whose logits reach 2.3, they differ by 2e-6 with weights and cache in f32, and by
    5e-3 with a cache in bf16; logits of trained models are ten times as large.
    """

    def __init__(self, model: Llama, *, kv_dtype: torch.dtype, device: str) -> None:
        self._model = model.to(device).eval().requires_grad_(False)
        self._device = torch.device(device)
        self._kv_dtype = kv_dtype
        self._caches: dict[int, KVCache] = {}
        self._num_opened = 0
        f32 = {kv_dtype, model.model.norm.weight.dtype} == {torch.float32}
        self.tolerance = 1e-4 if f32 else 0.1

    def open(self, capacity: int) -> int:
        """Begin a text of at most ``capacity`` tokens; returns its number."""
        self._num_opened += 1
        self._caches[self._num_opened] = KVCache(
            self._model.config, batch_size=1, capacity=capacity, dtype=self._kv_dtype, device=self._device
        )
        return self._num_opened

    @torch.inference_mode()
    def extend(self, text: int, ids: Sequence[int]) -> np.ndarray:
        """Append tokens to a text; float32 [V] logits after the last."""
        x_BTD = self._model.backbone(self._ids(ids), self._caches[text])
        return _float32(self._model.head(x_BTD[0, -1]))

    def close(self, text: int) -> None:
        """Forget a text and give its memory back."""
        del self._caches[text]

    @torch.inference_mode()
    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Logits float32 [T, V] of the token after each, of a text by itself and without a cache."""
        x_TD = self._model.backbone(self._ids(ids))[0]
        return np.concatenate([_float32(self._model.head(rows)) for rows in x_TD.split(_LOGITS_ROWS)])

    def _ids(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([list(ids)], dtype=torch.int64, device=self._device)


def open_runner(
    folder: Path, config: ModelConfig, *, device: str, weights: str, kv: str, threads: int | None
) -> TorchRunner:
    """Load a model folder's tensors onto a device; arguments as in ``textmill.load``, and checked there.

    ``threads`` holds for everything that torch does in this process.
    """
    _check_device(device)
    if threads is not None:
        torch.set_num_threads(threads)
    tensors = load_tensors(folder, config)
    model = Llama(config).to(choose_dtype(weights, tensors, device))
    fill_model(model, tensors)
    return TorchRunner(model, kv_dtype=_DTYPES[kv], device=device)


def choose_dtype(weights: str, tensors: Mapping[str, np.ndarray], device: str) -> torch.dtype:
    """What the weights are kept and computed in.

    ``auto`` is the widest type that is stored, and f32 where that is 16 bits that the CPU has no instructions for.
    """
    if weights != "auto":
        return _DTYPES[weights]
    stored = {as_torch(tensor[:0]).dtype for tensor in tensors.values()}
    if len(stored) > 1:
        return torch.float32
    (dtype,) = stored
    slow = dtype == torch.float16 or (dtype == torch.bfloat16 and not _cpu_has_bf16())
    return torch.float32 if slow and torch.device(device).type == "cpu" else dtype


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


def _float32(logits: torch.Tensor) -> np.ndarray:
    return logits.float().cpu().numpy()
