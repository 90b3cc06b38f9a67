"""Bytes that SmolLM2-135M's blocks save for backward, how long a step takes, and a process's peak, by what is saved.

A row of 1,024 tokens goes through the trainer's own step, forward and backward. Torch's own functions under plain
autograd go first, then the ways of ``textmill.model.remat``, one after another in each round.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from textmill.model.activation_bytes import ActivationType, saved_bytes_per_block
from textmill.model.llama import Llama
from textmill.model.loss import summed_nats
from textmill.model.presets import preset
from training_parts.plain_block import plain_backbone

CONTEXT = 1024
THREADS = 2
WAYS: tuple[Literal["none", "llama", "full"], ...] = ("none", "llama", "full")
DTYPES: dict[ActivationType, torch.dtype] = {"f32": torch.float32, "bf16": torch.bfloat16}
_ONE_STEP = Path(__file__).parents[2] / "tests" / "model" / "one_step.py"
Backbone = Callable[[], torch.Tensor]


def measure(rounds: int) -> dict[str, Any]:
    """Measure all ways in both types of activations.

    Returns:
        by type and way: ``saved`` bytes a token and block (and ``formula``, what they are reckoned to be), ``time_s``
        of forward and backward in each round, ``peak`` bytes that a process grows by in a whole step.
    """
    torch.set_num_threads(THREADS)
    config = preset("smollm2-135m")
    model = Llama(config).init_weights(1, residual="scaled")
    ids_BT = torch.randint(config.vocab_size, (1, CONTEXT), generator=torch.Generator().manual_seed(1))
    figures: dict[str, Any] = {}
    for name, dtype in DTYPES.items():
        ways = ways_of(model, ids_BT, dtype)
        saved = {way: saved_bytes(model, run) / CONTEXT / config.num_hidden_layers for way, run in ways.items()}
        figures[name] = {
            way: {"saved": saved[way], "time_s": times} for way, times in measured(model, ids_BT, ways, rounds).items()
        }
        for way in WAYS:
            block = saved_bytes_per_block(config, batch=1, context=CONTEXT, dtype=name, remat=way)
            figures[name][way]["formula"] = block.activations / CONTEXT
    del model
    for name in DTYPES:
        for way in WAYS:
            figures[name][way]["peak"] = peak_bytes(way, name)
    return figures


def ways_of(model: Llama, ids_BT: torch.Tensor, dtype: torch.dtype) -> dict[str, Backbone]:
    """Each way's blocks."""
    return {
        "plain": lambda: plain_backbone(model, ids_BT, dtype),
        "none": lambda: model.backbone(ids_BT, dtype=dtype, remat="none"),
        "llama": lambda: model.backbone(ids_BT, dtype=dtype, remat="llama"),
        "full": lambda: model.backbone(ids_BT, dtype=dtype, remat="full"),
    }


def measured(model: Llama, ids_BT: torch.Tensor, ways: dict[str, Backbone], rounds: int) -> dict[str, list[float]]:
    """Seconds of forward, loss and backward of each way, forwards and backwards in turn; the first round is dropped."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways if number % 2 else reversed(ways):
            model.zero_grad(set_to_none=True)
            begin = time.perf_counter()
            (summed_nats(model, ways[way](), ids_BT.roll(-1, 1)) / CONTEXT).backward()
            times[way].append(time.perf_counter() - begin)
    return {way: taken[1:] for way, taken in times.items()}


def saved_bytes(model: Llama, run: Backbone) -> int:
    """Bytes of the storages that autograd holds after a forward pass, parameters and casts of them aside."""
    storages: dict[int, int] = {}
    kept = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() != 2 or tensor.shape[0] == 1 or CONTEXT in tensor.shape:  # weights are no rows
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    del result
    for parameter in model.parameters():
        storages.pop(parameter.untyped_storage().data_ptr(), None)
    return sum(storages.values())


def peak_bytes(way: str, dtype: str) -> int:
    """Bytes that a process of its own grows by at the peak of a step, optimizer included."""
    command = [sys.executable, str(_ONE_STEP), way, "1", dtype, "{}"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
