"""Steps in which every text has one new token, recorded once for each size and replayed: CUDA graphs.

A forward pass of a small model is hundreds of small kernels, each of which the host has to start; a graph starts them
all at once. It is bound to addresses and sizes, so tokens go into tensors that stay, batches are filled up to a power
of two of texts, and their tables to a power of two of pages.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch

from textmill.infer.runners.runner import Chunk
from textmill.infer.runners.torch_batch import Batch, DecodeBatch, num_pages_of
from textmill.infer.runners.torch_pages import Pages

# As many texts as a batcher runs at a time; larger batches keep the device busy without.
NUM_TEXTS_MAX = 64
# Texts of up to so many tokens share a graph.
_NUM_TOKENS_MIN = 256


class Recorded(NamedTuple):
    """Work that can be done again: ``replay`` does it, on tensors that stay, and ``result`` has what came of it."""

    replay: Callable[[], object]
    result: torch.Tensor


class Recorder(Protocol):
    """Records what a function does to tensors. It may be called several times before it is recorded."""

    def __call__(self, work: Callable[[], torch.Tensor]) -> Recorded:
        """Record work, which returns its result."""
        ...


class CudaRecorder:
    """Records CUDA graphs, which share the memory for what is between their inputs and results."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Callable[[], torch.Tensor]) -> Recorded:
        """Do the work twice on another stream, where libraries take the memory they need, then record it."""
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(2):
                work()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = work()
        return Recorded(graph.replay, result)


class DecodeGraphs:
    """Recorded forward passes, each made when a batch of its size first comes."""

    def __init__(self, forward: Callable[[Batch], torch.Tensor], pages: Pages, recorder: Recorder) -> None:
        self._forward = forward
        self._pages = pages
        self._record = recorder
        self._recorded: dict[tuple[int, int], tuple[DecodeBatch, Recorded]] = {}
        self._failed = False

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """What is recorded: texts and pages of each."""
        return sorted(self._recorded)

    def takes(self, chunks: Sequence[Chunk]) -> bool:
        """Whether a step can be replayed: a token a text, logits after each, and not too many of them."""
        is_decode = all(len(chunk.ids) == chunk.num_logits == 1 for chunk in chunks)
        return is_decode and len(chunks) <= NUM_TEXTS_MAX and not self._failed

    def forward(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        """Logits [N, V] of a step that ``takes`` allows; the next step overwrites them."""
        block_size = self._pages.block_size
        num_pages = max(num_pages_of(chunks, block_size), _NUM_TOKENS_MIN // block_size)
        size = (_power_of_two(len(chunks)), _power_of_two(num_pages))
        if size not in self._recorded:
            batch = self._batch(size)
            batch.load(chunks)
            try:
                self._recorded[size] = batch, self._record(lambda: self._forward(batch.batch))
            except RuntimeError as error:  # the device's, which torch passes on
                return self._without(batch, len(chunks), error)
        batch, recorded = self._recorded[size]
        batch.load(chunks)
        recorded.replay()
        return recorded.result[: len(chunks)]

    def _batch(self, size: tuple[int, int]) -> DecodeBatch:
        num_texts, num_pages = size
        pages = self._pages
        return DecodeBatch(
            num_texts=num_texts,
            num_pages=num_pages,
            block_size=pages.block_size,
            spare_block=pages.spare_block,
            device=pages.keys.device,
        )

    def _without(self, batch: DecodeBatch, num_texts: int, error: RuntimeError) -> torch.Tensor:
        """Compute a step that could not be recorded, and record no more."""
        self._failed = True
        reason = str(error).splitlines()[0]
        warnings.warn(f"steps are computed without CUDA graphs, which is slower: {reason}", stacklevel=2)
        return self._forward(batch.batch)[:num_texts]


def _power_of_two(number: int) -> int:
    """The least power of two that is not less."""
    return 1 << (number - 1).bit_length()
