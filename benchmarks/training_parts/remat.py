"""Bytes that blocks save for backward, and how long they take forward and backward, by what they save.

    .venv/bin/python benchmarks/training_parts/remat.py [--layers 6] [--rounds 7]

Blocks of SmolLM2-135M's sizes, a row of 1,024 tokens, in turn: torch's own functions under plain autograd, and the
three ways of ``textmill.model.remat``. All blocks are alike, so a few stand for thirty.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Callable

import torch

from textmill.model.llama import Llama
from textmill.model.presets import preset
from training_parts.plain_block import plain_backbone

CONTEXT = 1024
Run = Callable[[], torch.Tensor]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    config = dataclasses.replace(preset("smollm2-135m"), num_hidden_layers=arguments.layers)
    model = Llama(config).init_weights(1, residual="scaled")
    ids_BT = torch.randint(config.vocab_size, (1, CONTEXT), generator=torch.Generator().manual_seed(1))
    print(
        f"SmolLM2-135M's blocks, {CONTEXT} tokens, {torch.get_num_threads()} threads, medians of {arguments.rounds}.\n"
    )
    print("| activations | way | KB a token and block | ms a block | of none | range |\n|---|---|---|---|---|---|")
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        ways = ways_of(model, ids_BT, dtype)
        times = measured(model, ways, arguments.rounds)
        base = statistics.median(times["none"])
        for way, run in ways.items():
            kilobytes = saved_bytes(model, run) / CONTEXT / arguments.layers / 1e3
            per_block = [1e3 * seconds / arguments.layers for seconds in times[way]]
            print(
                f"| {name} | {way} | {kilobytes:.1f} | {statistics.median(per_block):.1f} | "
                f"{statistics.median(times[way]) / base:.3f} | {min(per_block):.1f} to {max(per_block):.1f} |"
            )


def ways_of(model: Llama, ids_BT: torch.Tensor, dtype: torch.dtype) -> dict[str, Run]:
    """Each way's forward pass."""
    return {
        "plain": lambda: plain_backbone(model, ids_BT, dtype),
        "none": lambda: model.backbone(ids_BT, dtype=dtype, remat="none"),
        "llama": lambda: model.backbone(ids_BT, dtype=dtype, remat="llama"),
        "full": lambda: model.backbone(ids_BT, dtype=dtype, remat="full"),
    }


def measured(model: Llama, ways: dict[str, Run], rounds: int) -> dict[str, list[float]]:
    """Seconds of a forward and a backward pass of each way, one after another in each round; the first is dropped."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way, run in ways.items():
            model.zero_grad(set_to_none=True)
            begin = time.perf_counter()
            run().sum().backward()
            times[way].append(time.perf_counter() - begin)
    return {way: taken[1:] for way, taken in times.items()}


def saved_bytes(model: Llama, run: Run) -> int:
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


if __name__ == "__main__":
    main()
