"""llama.cpp through the ctypes of llama-cpp-python: nothing between a pass and its logits but what it needs."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import llama_cpp
import numpy as np

from inference_speed.work import CHUNK

_FLASH_OFF, _FLASH_ON = 0, 1  # enum llama_flash_attn_type


@llama_cpp.llama_log_callback
def _no_log(level: int, text: bytes, data: Any) -> None:
    pass


def silence() -> None:
    """Keep llama.cpp from telling of every tensor that it loads."""
    llama_cpp.llama_log_set(_no_log, ctypes.c_void_p(0))


class LlamaCppEngine:
    """A GGUF in llama.cpp, keys and values in F16."""

    def __init__(self, model: str, threads: int) -> None:
        silence()
        llama_cpp.llama_backend_init()
        self._model = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
        if not self._model:
            raise RuntimeError(f"llama.cpp does not load {model}")
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self._threads = threads
        self._context: Any = None
        self._lengths: list[int] = []
        self._batch = llama_cpp.llama_batch_init(CHUNK, 0, 1)
        arrays = (self._batch.token, self._batch.pos, self._batch.n_seq_id, self._batch.logits)
        self._ids, self._positions, num_texts_of, self._wanted = (
            np.ctypeslib.as_array(array, shape=(CHUNK,)) for array in arrays
        )
        num_texts_of[:] = 1

    def info(self) -> dict[str, Any]:
        """Say what llama.cpp was built with, as it says itself."""
        return {"system": llama_cpp.llama_print_system_info().decode().strip()}

    def open(self, num_texts: int, context: int, way: dict[str, Any]) -> None:
        """Make a context; ``way`` is ``flash``, and ``unified`` for one cache that all texts share."""
        if self._context is not None:
            llama_cpp.llama_free(self._context)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = num_texts * -(-context // 256) * 256
        params.n_batch = params.n_ubatch = CHUNK
        params.n_seq_max = num_texts
        params.n_threads = params.n_threads_batch = self._threads
        params.flash_attn_type = _FLASH_ON if way["flash"] else _FLASH_OFF
        params.kv_unified = way.get("unified", False)
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F16
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            raise RuntimeError(f"llama.cpp makes no context for {num_texts} texts of {context} tokens")
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._lengths = [0] * num_texts

    def rewind(self, text: int, num_tokens: int) -> None:
        """Drop the cells of a text from ``num_tokens`` on."""
        if not llama_cpp.llama_memory_seq_rm(self._memory, text, num_tokens, -1):
            raise RuntimeError(f"llama.cpp cannot go back to {num_tokens} tokens")
        self._lengths[text] = num_tokens

    def step(self, texts: Sequence[int], ids: Sequence[Sequence[int]], *, all_logits: bool = False) -> np.ndarray:
        """Run one pass."""
        end = 0
        for text, new in zip(texts, ids, strict=True):
            begin, end = end, end + len(new)
            start = self._lengths[text]
            self._lengths[text] = start + len(new)
            self._ids[begin:end] = new
            self._positions[begin:end] = range(start, start + len(new))
            self._wanted[begin:end] = all_logits
            self._wanted[end - 1] = 1
            for place in range(begin, end):
                self._batch.seq_id[place][0] = text
        self._batch.n_tokens = end
        status = llama_cpp.llama_decode(self._context, self._batch)
        if status:
            raise RuntimeError(f"llama_decode returned {status} for {end} tokens of {len(ids)} texts")
        num_rows = end if all_logits else len(ids)
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits(self._context), shape=(num_rows, self.vocab_size))
