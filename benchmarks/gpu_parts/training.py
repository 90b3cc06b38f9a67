"""Training steps on a device: the same as on the CPU, how fast, and how much memory beside what was reckoned."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from unittest import mock

import numpy as np
import torch

from gpu_parts.models import config_of
from textmill.data.loader import Batch
from textmill.model import loss
from textmill.model.activation_bytes import CHUNK_ROWS_ON_GPU
from textmill.model.config import ModelConfig
from textmill.model.flops import training_flops_per_token
from textmill.model.llama import Llama
from textmill.model.training_bytes import training_bytes
from textmill.train.compiled import compile_blocks, why_not
from textmill.train.layout import Layout
from textmill.train.optim import Optimizers
from textmill.train.precision import compute_dtype, peak_flops_per_s
from textmill.train.recipe_tables.steps import OptimizerTable
from textmill.train.step import accumulate

Remat = Literal["none", "llama", "full"]
Optimizer = Literal["adamw", "muon"]
CONTEXT = 1024
# Rows that go through at once, by the model; what it is to reach of the peak.
MODELS = {"124M": (32, 0.40), "350M": (16, 0.50)}
# Each with AdamW on all rows at once, and with Muon on the rows in two parts.
_MEMORY = tuple(
    (name, remat, optimizer)
    for name in MODELS
    for remat in ("none", "llama", "full")
    for optimizer in ("adamw", "muon")
)
_MEMORY_OFF = 0.05
_NUM_STEPS = 10
# A step's gradient on the device beside the CPU's, as a share of the largest value of each tensor: in f32 sums are of
# other orders; bf16 has 8 bits, and norms' gradients are sums of many roundings.
_MAY_DIFFER = {"f32": 1e-4, "bf16": 5e-2}


def sizes(name: str, *, small: bool) -> ModelConfig:
    """GPT-2's sizes, small and medium, in LLaMA's shape."""
    if small:
        return config_of("smollm2-135m", small=True)
    width, layers, heads, inner = {"124M": (768, 12, 12, 2048), "350M": (1024, 24, 16, 2816)}[name]
    return ModelConfig(
        vocab_size=50_304,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )


def parity(device: str, *, small: bool) -> str:
    """A step's loss and gradient on the device beside those on the CPU; fails where they are too far apart."""
    config = config_of("smollm2-135m", small=True)
    lines, fails = [], False
    for precision in ("f32", "bf16"):
        for masked in (False, True):
            for remat in ("none", "llama", "full"):
                apart = _apart(config, device, precision, remat, masked=masked)
                within = apart <= _MAY_DIFFER[precision]
                fails |= not within
                documents = "apart" if masked else "one a row"
                said = "yes" if within else "no"
                lines.append(
                    f"| {precision} | {documents} | {remat} | {apart:.1e} | {_MAY_DIFFER[precision]:g} | {said} |"
                )
    text = (
        "A step's gradient on the device beside the CPU's: the largest difference as a share of its tensor's largest "
        "value.\n\n| precision | documents | remat | difference | may be | within |\n|---|---|---|---|---|---|\n"
        + "\n".join(lines)
    )
    if fails:
        raise SystemExit(text)
    return text


def speed(device: str, *, small: bool) -> str:
    """Tokens a second and MFU of whole steps in bf16, blocks compiled and not; fails below what is asked for."""
    on = torch.device(device)
    peak = peak_flops_per_s("bf16", on)
    lines, misses = [], []
    reason = "only asked for on a GPU" if on.type == "cpu" else why_not(on)
    for name, (rows, wanted) in MODELS.items():
        config = sizes(name, small=small)
        best = 0.0
        for compiled in (False, True):
            if compiled and reason is not None:
                lines.append(f"| {name} | compiled | {reason} | | | |")
                continue
            first_s, times = _step_times(config, on, 2 if small else rows, compiled=compiled)
            median = statistics.median(times)
            tokens_per_s = (2 if small else rows) * _context(small=small) / median
            mfu = tokens_per_s * training_flops_per_token(config, _context(small=small)) / peak
            best = max(best, mfu)
            lines.append(
                f"| {name} | {'compiled' if compiled else 'eager'} | {tokens_per_s:,.0f} | {median * 1e3:.1f} | "
                f"{mfu:.1%} | {first_s:.1f} |"
            )
        if best < wanted and not small:
            misses.append(f"{name} reaches {best:.1%} of the peak, and {wanted:.0%} is asked for.")
    at_once = ", ".join(f"{rows} at once of {name}" for name, (rows, _) in MODELS.items())
    text = (
        f"bf16 with f32 weights, AdamW, rows of {CONTEXT} tokens, {at_once}; "
        f"the peak is {peak / 1e12:,.0f} TFLOP/s; median of {_NUM_STEPS} steps.\n\n"
        "| parameters | blocks | tokens/s | ms a step | MFU | first step, s |\n|---|---|---|---|---|---|\n"
        + "\n".join(lines)
    )
    if misses:
        raise SystemExit("\n".join([text, "", *misses]))
    return text


def memory(device: str, *, small: bool) -> str:
    """The peak of a step by the formula, beside torch's two counts of it; fails where they are more than 5 % apart.

    The allocator counts on a GPU. MemTracker counts on tensors without values, which need no GPU and take no memory.
    """
    lines, misses = [], []
    for name, remat, optimizer in _MEMORY:
        config, rows = sizes(name, small=small), 4 if small else MODELS[name][0]
        step = _Step(config, rows, _context(small=small), remat, optimizer, rows if optimizer == "adamw" else rows // 2)
        predicted = _predicted(step)
        cells = []
        for way, counted in (("the allocator", _counted(step, device)), ("MemTracker", _tracked(step, device))):
            if counted is None:
                cells += ["", ""]
                continue
            cells += [f"{counted / 1e9:.2f}", f"{predicted / counted - 1:+.1%}"]
            if abs(predicted / counted - 1) > _MEMORY_OFF and not small:
                misses.append(f"{name}, remat {remat}, {optimizer}: off by more than {_MEMORY_OFF:.0%} by {way}.")
        lines.append(f"| {name} | {remat} | {optimizer} | {predicted / 1e9:.2f} | {' | '.join(cells)} |")
    text = (
        "A step's peak in GB: by the formula, by `max_memory_allocated`, and by torch's MemTracker on tensors without "
        "values. AdamW takes all rows at once, Muon half of them.\n\n"
        "| parameters | remat | optimizer | reckoned | allocated | off by | tracked | off by |\n"
        "|---|---|---|---|---|---|---|---|\n" + "\n".join(lines)
    )
    if misses:
        raise SystemExit("\n".join([text, "", *misses]))
    return text


def _context(*, small: bool) -> int:
    return 64 if small else CONTEXT


def _apart(config: ModelConfig, device: str, precision: Literal["f32", "bf16"], remat: Remat, *, masked: bool) -> float:
    found = []
    for place in ("cpu", device):
        layout = _laid_out(config, torch.device(place), residual="scaled")
        _gradient(layout, _batch(config, 4, 64, masked=masked), precision, remat)
        found.append(
            [parameter.grad.float().cpu() for _, parameter in layout.named_parameters() if parameter.grad is not None]
        )
    return max(float((one - other).abs().max() / one.abs().max()) for one, other in zip(*found, strict=True))


def _laid_out(config: ModelConfig, device: torch.device, *, residual: Literal["zero", "scaled"] = "zero") -> Layout:
    with device:
        model = Llama(config)
    return Layout(model.init_weights(1, residual=residual))


def _batch(config: ModelConfig, rows: int, context: int, *, masked: bool = False) -> Batch:
    """Ids that mean nothing; with ``masked`` two documents in each row."""
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (rows, context + 1))
    if not masked:
        return Batch(ids[:, :-1], ids[:, 1:], ())
    places = np.broadcast_to(np.arange(context, dtype=np.int32), (rows, context))
    cut = np.arange(1, rows + 1, dtype=np.int32)[:, None] * (context // (rows + 2))
    return Batch(
        ids[:, :-1],
        ids[:, 1:],
        (),
        positions=np.where(places < cut, places, places - cut),
        segments=(places >= cut).astype(np.int32),
    )


def _gradient(
    layout: Layout, batch: Batch, precision: Literal["f32", "bf16"], remat: Remat, micro_rows: int | None = None
) -> None:
    accumulate(
        layout.model,
        batch,
        micro_rows=micro_rows or len(batch.inputs),
        dtype=compute_dtype(precision),
        remat=remat,
        layout=layout,
    )


def _step_times(config: ModelConfig, device: torch.device, rows: int, *, compiled: bool) -> tuple[float, list[float]]:
    """Seconds of the first step, and of each of those that are counted."""
    layout = _laid_out(config, device)
    if compiled:
        compile_blocks(layout.model)
    steps = _steps(layout, _batch(config, rows, 64 if rows == 2 else CONTEXT), "none")
    first_s = next(steps)
    for _ in range(3):
        next(steps)
    return first_s, [next(steps) for _ in range(_NUM_STEPS)]


def _steps(
    layout: Layout, batch: Batch, remat: Remat, optimizer: Optimizer = "adamw", micro_rows: int | None = None
) -> Iterator[float]:
    """Take steps for ever; yields the seconds of each."""
    optimizers = _optimizers(layout, optimizer)
    while True:
        begin = time.perf_counter()
        _gradient(layout, batch, "bf16", remat, micro_rows)
        layout.clip(1.0)
        optimizers.step(1.0)
        if layout.device.type == "cuda":
            torch.cuda.synchronize(layout.device)
        yield time.perf_counter() - begin


def _optimizers(layout: Layout, kind: Optimizer) -> Optimizers:
    return Optimizers(layout.model, OptimizerTable(kind=kind), 1e-4, torch.bfloat16, layout=layout)


@dataclass(frozen=True, slots=True)
class _Step:
    """What a step is, in bf16."""

    config: ModelConfig
    rows: int
    context: int
    remat: Remat
    optimizer: Optimizer
    micro_rows: int


def _predicted(step: _Step) -> int:
    reckoned = training_bytes(
        step.config,
        micro_rows=step.micro_rows,
        context=step.context,
        dtype="bf16",
        remat=step.remat,
        optimizer=step.optimizer,
        accumulates=step.micro_rows < step.rows,
        on_gpu=True,
    )
    return reckoned.peak - reckoned.runtime  # libraries' own memory is not the allocator's


def _counted(step: _Step, device: str) -> int | None:
    """Bytes that the second of two steps held at most on a GPU, by its allocator: there is the optimizer's state."""
    on = torch.device(device)
    layout = _laid_out(step.config, on)
    batch = _batch(step.config, step.rows, step.context)
    steps = _steps(layout, batch, step.remat, step.optimizer, step.micro_rows)
    next(steps)
    if on.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(on)
    next(steps)
    return torch.cuda.max_memory_allocated(on)


def _tracked(step: _Step, device: str) -> int:
    """Bytes that two steps held at most, by torch's MemTracker: on fake tensors of a GPU, and else on meta's.

    Those go the way of devices that are no CPU, and are told what a GPU's would see for themselves.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    on = torch.device("cuda", 0) if device == "cuda" else torch.device("meta")
    with FakeTensorMode() if on.type == "cuda" else _as_on_a_gpu(), MemTracker() as tracker:
        with on:
            layout = Layout(Llama(step.config))
        ids = torch.zeros((step.micro_rows, step.context), dtype=torch.int64, device=on)
        optimizers = _optimizers(layout, step.optimizer)
        for _ in range(2):
            for _ in range(0, step.rows, step.micro_rows):
                tracker.reset_mod_stats()  # it takes each module's figures once
                layout.nats(ids, ids, dtype=torch.bfloat16, remat=step.remat).backward()
            optimizers.step(1.0)
        snapshot = tracker.get_tracker_snapshot("peak")
    return snapshot[on]["Total"]


@contextlib.contextmanager
def _as_on_a_gpu() -> Iterator[None]:
    """Let tensors of meta take the flash kernel for attention, and a GPU's chunks of logits."""

    def flash(
        q_BHTQ: torch.Tensor, k_BKTQ: torch.Tensor, v_BKTQ: torch.Tensor, *, is_causal: bool, **others: object
    ) -> torch.Tensor:
        found: torch.Tensor = torch.ops.aten._scaled_dot_product_flash_attention(
            q_BHTQ, k_BKTQ, v_BKTQ, 0.0, is_causal
        )[0]
        return found

    with (
        mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", flash),
        mock.patch.object(loss, "chunk_rows", return_value=CHUNK_ROWS_ON_GPU),
    ):
        yield
