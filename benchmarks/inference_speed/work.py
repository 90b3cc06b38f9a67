"""What every engine is asked to do, written once: to read tokens, and to go on greedily, each timed.

V is the size of the vocabulary, S the number of texts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

CHUNK = 512  # tokens of one pass, in all engines


class Engine(Protocol):
    """A loaded model that keeps the keys and values of several texts."""

    vocab_size: int

    def info(self) -> dict[str, Any]:
        """Say what runs, and how."""
        ...

    def open(self, num_texts: int, context: int, way: dict[str, Any]) -> None:
        """Forget all texts and make room for so many, each of ``context`` tokens."""
        ...

    def rewind(self, text: int, num_tokens: int) -> None:
        """Forget what a text has after its first ``num_tokens``."""
        ...

    def step(self, texts: Sequence[int], ids: Sequence[Sequence[int]], *, all_logits: bool = False) -> np.ndarray:
        """Append ids to texts in one pass; float32 [S, V] after the last of each, or [sum of ids, V] after all."""
        ...


class Work:
    """The commands of a worker, on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next: list[int] = []

    def info(self) -> dict[str, Any]:
        """Say what runs, and how."""
        return self._engine.info()

    def open(self, num_texts: int, context: int, way: dict[str, Any]) -> dict[str, Any]:
        """Make room for texts; ``way`` has the options of the engine, such as flash attention. One pass warms it up."""
        self._engine.open(num_texts, context, way)
        self._next = [0] * num_texts
        self.read([[0] * min(CHUNK // num_texts, context)] * num_texts)
        return {}

    def read(self, ids: list[list[int]], keep: int = 0) -> dict[str, Any]:
        """Append ids to every text, after its first ``keep`` tokens; logits come after the last id. Seconds."""
        texts = range(len(ids))
        for text in texts:
            self._engine.rewind(text, keep)
        step = max(CHUNK // len(ids), 1)
        begin = time.perf_counter()
        for start in range(0, len(ids[0]), step):
            logits_SV = self._engine.step(texts, [part[start : start + step] for part in ids])
            self._next = logits_SV.argmax(axis=1).tolist()
        return {"seconds": time.perf_counter() - begin}

    def decode(self, num_steps: int) -> dict[str, Any]:
        """Go on greedily with all texts, one token of each in a pass. Seconds."""
        tokens = self._next
        texts = range(len(tokens))
        begin = time.perf_counter()
        for _ in range(num_steps):
            logits_SV = self._engine.step(texts, [[token] for token in tokens])
            tokens = logits_SV.argmax(axis=1).tolist()
        seconds = time.perf_counter() - begin
        self._next = tokens
        return {"seconds": seconds}

    def score(self, ids: list[int], window: int) -> dict[str, Any]:
        """Sum ``-log p`` of tokens in nats, each window read by itself, its first token not counted."""
        nats, num_scored = 0.0, 0
        for start in range(0, len(ids), window):
            part = ids[start : start + window]
            self._engine.rewind(0, 0)
            for begin in range(0, len(part) - 1, CHUNK):
                chunk = part[begin : begin + CHUNK]
                targets = part[begin + 1 : begin + CHUNK + 1]
                logits_NV = self._engine.step([0], [chunk], all_logits=True)[: len(targets)]
                nats += _nats(logits_NV, targets)
                num_scored += len(targets)
        return {"nats": nats, "num_tokens": num_scored}


def _nats(logits_NV: np.ndarray, targets: Sequence[int]) -> float:
    largest_N1 = logits_NV.max(axis=1, keepdims=True)
    sums_N = np.exp(logits_NV - largest_N1).sum(axis=1, dtype=np.float64)
    chosen_N = logits_NV[np.arange(len(targets)), targets]
    return float((np.log(sums_N) + largest_N1[:, 0] - chosen_N).sum())
