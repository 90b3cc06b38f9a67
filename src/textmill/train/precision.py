"""Which arithmetic is faster on this machine, and how long a step takes: measured on a throw-away copy, once.

bfloat16 doubles the speed of a CPU with AVX-512 BF16 and makes one without it several times slower
(pytorch/pytorch#146508), so what the processor says it supports decides nothing: a few timed steps do.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Literal

import torch

from textmill.model.machine import published_peak
from textmill.train.ranks import CPU

Precision = Literal["f32", "bf16"]


def compute_dtype(precision: Precision) -> torch.dtype:
    """The dtype of activations and products; parameters, gradients, optimizer state and the loss stay in float32."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def median_time_s(work: Callable[[], object], *, min_s: float, min_calls: int = 2) -> float:
    """Time a piece of work, after one call that warms it up; returns the median of its calls in seconds."""
    work()
    times: list[float] = []
    while len(times) < min_calls or sum(times) < min_s:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def peak_flops_per_s(precision: Precision, device: torch.device = CPU) -> float:
    """Operations a second of which a step's are its MFU.

    Of a GPU in bf16 they are what its data sheet says, where ``machine`` has it; else what a large matrix product does,
    the best of a few. 1,024 on a side is large enough for every thread of a CPU, 8,192 for a GPU; it takes
    milliseconds.
    """
    on_gpu = device.type == "cuda"
    published = published_peak(torch.cuda.get_device_name(device)) if on_gpu and precision == "bf16" else None
    if published is not None:
        return published
    size = 8192 if on_gpu else 1024
    a, b = (torch.ones(size, size, dtype=compute_dtype(precision), device=device) for _ in range(2))
    times = []
    for _ in range(6):
        begin = time.perf_counter()
        a @ b
        if on_gpu:
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - begin)
    return 2 * size**3 / min(times)
