"""A run's tensors as they were at one step, while training goes on: copied into memory that looks as the files will.

Saving from the tensors themselves would hold up the loop for as long as the disk takes, and a forked child that sees
the old pages makes the parent copy each page it writes to, activations too; a copy is one pass over memory. The memory
is kept for the next save, because new memory costs more than the copy.
"""

from __future__ import annotations

import contextlib
import mmap
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from textmill.base import safetensors
from textmill.checkpoint.tensors import as_numpy, as_torch

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor | np.ndarray]

PAGE_BYTES = 4096
"""What writing past the page cache asks of addresses, lengths and places in a file."""


class FileImage(NamedTuple):
    """A file in memory: ``num_bytes`` of ``content``, which begins on a page and fills whole pages."""

    content: memoryview
    num_bytes: int


class Snapshot:
    """Memory for the images of a checkpoint's tensor files; what the last ``take`` gave is overwritten by the next.

    Args:
        num_bytes: to set aside at once, in a thread of its own, so that the first ``take`` is as quick as later ones.
    """

    def __init__(self, num_bytes: int = 0) -> None:
        self._memory = np.empty(0, np.uint8)
        self._reserving: threading.Thread | None = None
        if num_bytes:
            self._reserving = threading.Thread(target=self._reserve, args=(num_bytes,), daemon=True)
            self._reserving.start()

    def take(self, files: Mapping[str, Tensors]) -> dict[str, FileImage]:
        """Copy tensors, from any device, into an image of the safetensors file that holds them, by the file's name.

        Raises:
            DataError: for a tensor that such a file cannot hold.
        """
        plans = {
            name: safetensors.layout({key: _kind(tensor) for key, tensor in tensors.items()}, {"format": "pt"})
            for name, tensors in files.items()
        }
        memory = self._memory_of(sum(_whole_pages(plan.num_bytes) for plan in plans.values()))
        images, start = {}, 0
        for name, plan in plans.items():
            part = memory[start : start + _whole_pages(plan.num_bytes)]
            _draw(part, plan, files[name])
            images[name] = FileImage(part.data, plan.num_bytes)
            start += len(part)
        return images

    def _memory_of(self, num_bytes: int) -> np.ndarray:
        if self._reserving is not None:
            self._reserving.join()
            self._reserving = None
        if len(self._memory) < num_bytes:
            self._memory = np.empty(0, np.uint8)  # the old goes before the new comes
            self._memory = _new_memory(num_bytes)
        return self._memory

    def _reserve(self, num_bytes: int) -> None:
        with contextlib.suppress(OSError):  # the save that needs the memory asks again, and tells
            memory = _new_memory(num_bytes)
            memory[::PAGE_BYTES] = 0  # the pages are there once they are touched
            self._memory = memory


def _new_memory(num_bytes: int) -> np.ndarray:
    memory = mmap.mmap(-1, max(_whole_pages(num_bytes), PAGE_BYTES))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(memory, dtype=np.uint8)


def _whole_pages(num_bytes: int) -> int:
    return -(-num_bytes // PAGE_BYTES) * PAGE_BYTES


def _kind(tensor: torch.Tensor | np.ndarray) -> tuple[np.dtype[Any], tuple[int, ...]]:
    if isinstance(tensor, np.ndarray):
        return tensor.dtype if tensor.dtype == safetensors.BFLOAT16 else tensor.dtype.newbyteorder("<"), tensor.shape
    return as_numpy(tensor.new_empty(0, device="cpu")).dtype, tuple(tensor.shape)


def _draw(image: np.ndarray, plan: safetensors.Layout, tensors: Tensors) -> None:
    image[: len(plan.header)] = np.frombuffer(plan.header, np.uint8)
    image[plan.num_bytes :] = 0
    for name, info in plan.tensors.items():
        place = image[info.start : info.end].view(info.dtype).reshape(info.shape)
        tensor = tensors[name]
        if isinstance(tensor, np.ndarray):
            np.copyto(place, tensor)
        else:
            as_torch(place).copy_(tensor.detach())
