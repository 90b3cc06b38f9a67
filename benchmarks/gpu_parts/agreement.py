"""How far logits are apart: attention over pages with graphs, gathered pages without, and the native engine."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gpu_parts.models import blocks_of, config_of, random_model
from textmill.infer.runners import native
from textmill.infer.runners.runner import Chunk, Runner
from textmill.infer.runners.torch import open_runner

MODEL = "smollm2-135m"
LENGTHS = (600, 100, 17, 5)
NUM_DECODES = 8
# Times what bf16 takes from the native engine, which keeps sums of layers in f32; and in f32, of the largest logit.
_OF_ROUNDING = 3.0
_OF_F32 = 1e-4

Rows = list[np.ndarray]


def table(device: str, *, small: bool) -> str:
    """Compare on prompts of several lengths in one ragged batch, and some tokens after it; fails where they differ."""
    stored = random_model(config_of(MODEL, small=small))
    size = stored.config.vocab_size
    options = {"context": 1024, "kv_memory": 1 << 28}
    native_f32 = _rows(native.open_runner(stored, weights="f32", kv="f32", **options), size)
    native_bf16 = _rows(native.open_runner(stored, weights="bf16", kv="bf16", **options), size)
    gathered = {"device": device, "use_varlen": False, "use_graphs": False}
    sdpa_f32 = _rows(open_runner(stored, weights="f32", kv="f32", **gathered, **options), size)
    sdpa_bf16 = _rows(open_runner(stored, weights="bf16", kv="bf16", **gathered, **options), size)
    paged = open_runner(stored, device=device, weights="bf16", kv="bf16", **options)
    paged_bf16 = _rows(paged, size)

    largest = max(float(np.abs(rows).max()) for rows in native_f32)
    may_round = _OF_ROUNDING * _difference(native_bf16, native_f32)
    name = f"{paged.attention.name}, {'graphs' if paged.graphs else 'no graphs'}, bf16"
    lines = [
        _line("sdpa, no graphs, f32", "native, f32", sdpa_f32, native_f32, _OF_F32 * largest),
        _line("sdpa, no graphs, bf16", "native, f32", sdpa_bf16, native_f32, may_round),
        _line(name, "native, f32", paged_bf16, native_f32, may_round),
        _line(name, "sdpa, no graphs, bf16", paged_bf16, sdpa_bf16, may_round),
    ]
    text = (
        f"{MODEL}'s sizes, logits up to {largest:.1f}; prompts of {', '.join(map(str, LENGTHS))} tokens in one batch, "
        f"then {NUM_DECODES} steps of a token each. In bf16 the difference may be {_OF_ROUNDING:g} times that of the "
        f"native engine's bf16 from its f32, which is {may_round / _OF_ROUNDING:.1e}.\n\n"
        "| | beside | largest difference | may be | within |\n|---|---|---|---|---|\n" + "\n".join(lines)
    )
    if paged.graphs is not None:
        sizes = ", ".join(f"{texts} x {pages}" for texts, pages in paged.graphs.sizes)
        text += f"\n\nRecorded graphs (texts x pages): {sizes or 'none'}."
    if any(line.endswith("| no |") for line in lines):
        raise SystemExit(text)
    return text


def _line(one: str, other: str, found: Rows, expected: Rows, allowed: float) -> str:
    difference = _difference(found, expected)
    within = "yes" if difference <= allowed else "no"  # of what is no number, no
    return f"| {one} | {other} | {difference:.1e} | {allowed:.1e} | {within} |"


def _difference(found: Rows, expected: Rows) -> float:
    return float(np.max([np.abs(ours - theirs).max() for ours, theirs in zip(found, expected, strict=True)]))


def _rows(runner: Runner, vocab_size: int) -> Rows:
    return list(_steps(runner, vocab_size))


def _steps(runner: Runner, vocab_size: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(2)
    texts = [rng.integers(0, vocab_size, length + NUM_DECODES).tolist() for length in LENGTHS]
    blocks = [blocks_of(n, 1024, runner.block_size) for n in range(len(LENGTHS))]
    yield runner.forward(
        [
            Chunk(ids=ids[:length], start=0, blocks=of, num_logits=min(length, 64))
            for ids, length, of in zip(texts, LENGTHS, blocks, strict=True)
        ]
    )
    for step in range(NUM_DECODES):
        yield runner.forward(
            [
                Chunk(ids=[ids[length + step]], start=length + step, blocks=of)
                for ids, length, of in zip(texts, LENGTHS, blocks, strict=True)
            ]
        )
