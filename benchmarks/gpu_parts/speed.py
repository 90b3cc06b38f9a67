"""Tokens a second on a device: decoding, reading prompts, and what its memory gives."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from gpu_parts.models import blocks_of, config_of, random_model
from textmill.infer.runners.runner import Chunk
from textmill.infer.runners.torch import TorchRunner, open_runner
from textmill.infer.runners.torch_graphs import CudaRecorder
from textmill.infer.runners.torch_sdpa import SdpaAttention
from textmill.infer.runners.torch_varlen import VARLEN_BLOCK_SIZE
from textmill.model.config import ModelConfig
from textmill.model.flops import inference_flops_per_token, kv_cache_bytes

CONTEXT = 512
BATCHES = (1, 8, 32)
NUM_STEPS = 48
_NUM_WARM = 4
# Tokens of each text that there is room for.
DECODE_ROOM = CONTEXT + _NUM_WARM + NUM_STEPS
_PREFILL_ROOM = 4096
_ROUNDS = 3


def decode(name: str, device: str, *, small: bool) -> str:
    """A table of tokens a second for each batch and way, in turn, and shares of the bandwidth of the same run."""
    config = config_of(name, small=small)
    runner = open_model(config, device, num_texts=max(BATCHES), room=DECODE_ROOM)
    bytes_per_s = bandwidth(device, small=small)
    rows = []
    for num_texts in BATCHES:
        ways = _ways(config, runner)
        read_prompts(runner, num_texts, CONTEXT, room=DECODE_ROOM)
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(_ROUNDS):
            for way, of in ways.items():
                taken[way].append(step_s(of, num_texts))
        read = runner.weights.num_bytes_read + num_texts * kv_cache_bytes(config, CONTEXT + NUM_STEPS // 2, 2)
        for way, times in taken.items():
            median = statistics.median(times)
            rows.append(
                f"| {num_texts} | {way} | {num_texts / median:,.0f} | {median * 1e3:.3f} | "
                f"{min(times) * 1e3:.3f} to {max(times) * 1e3:.3f} | {read / median / bytes_per_s:.0%} |"
            )
    return (
        f"{name}'s sizes, bf16, {runner.weights.num_bytes_read / 1e9:.2f} GB of weights, {CONTEXT} tokens a text; "
        f"memory gives {bytes_per_s / 1e9:,.0f} GB/s; median of {_ROUNDS} rounds of {NUM_STEPS} steps.\n\n"
        "| texts | way | tokens/s | ms a step | range | of the bandwidth |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
    )


def prefill(name: str, device: str, *, small: bool) -> str:
    """A table of tokens a second for prompts, in the steps of a batcher and whole."""
    config = config_of(name, small=small)
    runner = open_model(config, device, num_texts=1, room=_PREFILL_ROOM)
    rows = []
    for num_tokens, step in ((512, 512), (4096, 512), (4096, 4096)):
        times = [_timed(lambda n=num_tokens, s=step: read_prompts(runner, 1, n, s)) for _ in range(6)][1:]
        median = statistics.median(times)
        flops = num_tokens * inference_flops_per_token(config, num_tokens // 2)
        flops -= (num_tokens - 1) * 2 * config.vocab_size * config.hidden_size  # the head computes the last row alone
        rows.append(
            f"| {num_tokens} | {step} | {num_tokens / median:,.0f} | {median * 1e3:.2f} | "
            f"{min(times) * 1e3:.2f} to {max(times) * 1e3:.2f} | {flops / median / 1e12:.1f} |"
        )
    return (
        f"{name}'s sizes, bf16, {runner.attention.name}; median of 5.\n\n"
        "| tokens | in steps of | tokens/s | ms | range | TFLOP/s |\n|---|---|---|---|---|---|\n" + "\n".join(rows)
    )


def open_model(config: ModelConfig, device: str, *, num_texts: int, room: int) -> TorchRunner:
    """Random weights of some sizes in bf16, and pages for so many texts of ``room`` tokens."""
    num_bytes = num_texts * kv_cache_bytes(config, room + VARLEN_BLOCK_SIZE, 2)
    return open_runner(
        random_model(config), device=device, weights="bf16", kv="bf16", context=room, kv_memory=num_bytes
    )


def _ways(config: ModelConfig, runner: TorchRunner) -> dict[str, TorchRunner]:
    """The ways to decode that a device has, on the same weights and pages."""
    ways = {f"{runner.attention.name}, no graphs": TorchRunner(config, runner.weights, runner.pages, runner.attention)}
    if runner.graphs is not None:
        ways = {f"{runner.attention.name}, graphs": runner, **ways}
    if runner.attention.name != SdpaAttention.name:
        gathered = SdpaAttention(runner.pages)
        recorder = CudaRecorder(runner.weights.device)
        ways["sdpa, graphs"] = TorchRunner(config, runner.weights, runner.pages, gathered, recorder=recorder)
        ways["sdpa, no graphs"] = TorchRunner(config, runner.weights, runner.pages, gathered)
    return ways


def read_prompts(
    runner: TorchRunner, num_texts: int, num_tokens: int, step: int = 512, *, room: int = _PREFILL_ROOM
) -> None:
    """Compute the keys and values of texts, one after the other, a number of tokens at a time."""
    for text in range(num_texts):
        blocks = blocks_of(text, room, runner.block_size)
        for start in range(0, num_tokens, step):
            end = min(start + step, num_tokens)
            ids = [(7 * n + text) % 96 for n in range(start, end)]
            runner.forward([Chunk(ids=ids, start=start, blocks=blocks, num_logits=int(end == num_tokens))])


def step_s(runner: TorchRunner, num_texts: int) -> float:
    """Seconds that a step of one token a text takes, logits on the host included; the median of many."""
    times = [_timed(lambda of=chunks: runner.forward(of)) for chunks in decode_steps(runner, num_texts)]
    return statistics.median(times[_NUM_WARM:])


def decode_steps(runner: TorchRunner, num_texts: int) -> list[list[Chunk]]:
    """A token more for each text, again and again, from ``CONTEXT`` on."""
    blocks = [blocks_of(text, DECODE_ROOM, runner.block_size) for text in range(num_texts)]
    return [
        [Chunk(ids=[(step + text) % 96], start=CONTEXT + step, blocks=of) for text, of in enumerate(blocks)]
        for step in range(_NUM_WARM + NUM_STEPS)
    ]


def bandwidth(device: str, *, small: bool) -> float:
    """Bytes a second that kernels read of 1 GiB, or read and write: the faster of sums and copies."""
    source = torch.ones((1 << 20) if small else (1 << 28), device=device)
    target = torch.empty_like(source)

    def repeated(work: Callable[[], object]) -> None:
        for _ in range(10):
            work()
        if source.is_cuda:
            torch.cuda.synchronize(source.device)

    of_copies = min(_timed(lambda: repeated(lambda: target.copy_(source))) for _ in range(5))
    of_sums = min(_timed(lambda: repeated(source.sum)) for _ in range(5))
    return max(20 * source.nbytes / of_copies, 10 * source.nbytes / of_sums)


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
