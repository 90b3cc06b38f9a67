"""textmill's native engine, at the level of its runner, and as users call it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import textmill
from textmill.checkpoint.stored_model import open_model
from textmill.infer.runners.native import BLOCK_SIZE, open_runner
from textmill.infer.runners.runner import Chunk
from textmill.model.flops import KvType, kv_cache_bytes_of


class TextmillEngine:
    """A model in textmill."""

    def __init__(self, model: str, threads: int, *, weights: str = "auto", kv: KvType = "bf16") -> None:
        stored = open_model(Path(model))
        self._config = stored.config
        self.vocab_size = stored.config.vocab_size
        self._loading = {"path": model, "weights": weights, "kv": kv, "threads": threads}
        context = stored.config.max_position_embeddings
        self._runner = open_runner(stored, weights=weights, kv=kv, context=context, threads=threads)
        table_bytes = stored.tensors["model.embed_tokens.weight"].data.nbytes
        self._weight_bytes = self._runner._core.num_weight_bytes - table_bytes
        self._lengths: list[int] = []
        self._blocks: list[range] = []
        self._lm: textmill.LanguageModel | None = None

    def info(self) -> dict[str, Any]:
        """Say which tier of instructions runs, and the bytes that a token reads: of weights, and of each token kept."""
        kv: Any = self._loading["kv"]
        return {
            "isa": self._runner.isa,
            "weight_bytes": self._weight_bytes,
            "kv_bytes": kv_cache_bytes_of(self._config, 1, kv),
        }

    def open(self, num_texts: int, context: int, way: dict[str, Any]) -> None:
        """Give each text its blocks."""
        assert not way
        size = -(-context // BLOCK_SIZE)
        assert num_texts * size <= self._runner.num_blocks
        self._blocks = [range(text * size, (text + 1) * size) for text in range(num_texts)]
        self._lengths = [0] * num_texts

    def rewind(self, text: int, num_tokens: int) -> None:
        """Go on after ``num_tokens``; what lies behind is written over."""
        self._lengths[text] = num_tokens

    def step(self, texts: Sequence[int], ids: Sequence[Sequence[int]], *, all_logits: bool = False) -> np.ndarray:
        """Run one pass."""
        chunks = []
        for text, new in zip(texts, ids, strict=True):
            start = self._lengths[text]
            end = self._lengths[text] = start + len(new)
            blocks = self._blocks[text][: -(-end // BLOCK_SIZE)]
            chunks.append(Chunk(ids=new, start=start, blocks=blocks, num_logits=len(new) if all_logits else 1))
        return self._runner.forward(chunks)

    def generate(self, ids: list[int], num_tokens: int) -> dict[str, Any]:
        """Let ``LanguageModel.generate`` go on from a prompt. Seconds, those of the prompt among them."""
        if self._lm is None:
            self._lm = textmill.load(**self._loading)
        begin = time.perf_counter()
        completion = self._lm.generate(ids, max_tokens=num_tokens, ignore_eos=True)
        seconds = time.perf_counter() - begin
        assert len(completion.ids) == num_tokens
        return {"seconds": seconds}
