"""A whole training step beside transformers': the same LLaMA, batch and precision, AdamW, on 2 threads.

Transformers' model is as it comes, with SDPA; bf16 is autocast there. It steps with ``torch.optim.AdamW`` as that
comes, a loop over the tensors on a CPU, and with the fused one, which has to be asked for (transformers' own trainer
does). A step is forward, loss, backward, clipping and update. All take turns in each round, and so does a square
product of 1,024, by which the machine's own rate is told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from textmill.data.loader import Batch
from textmill.model.config import ModelConfig
from textmill.model.flops import training_flops_per_token
from textmill.model.llama import Llama
from textmill.model.presets import preset
from textmill.train.optim import Optimizers
from textmill.train.precision import Precision, compute_dtype, peak_flops_per_s
from textmill.train.recipe_tables.steps import OptimizerTable
from textmill.train.step import accumulate, clip

THREADS = 2
PRECISIONS: tuple[Precision, ...] = ("f32", "bf16")
SIZES: dict[str, tuple[ModelConfig, int, int]] = {
    "3M": (
        ModelConfig(
            vocab_size=4096,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=48,
        ),
        16,
        256,
    ),
    "12M": (
        ModelConfig(
            vocab_size=8192,
            hidden_size=384,
            intermediate_size=1024,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            head_dim=64,
            tie_word_embeddings=True,
        ),
        16,
        256,
    ),
    "135M": (preset("smollm2-135m"), 8, 512),
}
"""By name: sizes, rows of a batch, tokens of a row."""
Step = Callable[[], None]


def measure(rounds: int) -> dict[str, Any]:
    """Measure all sizes in both precisions.

    Returns:
        by size and precision: ``ours_s``, ``peer_s`` and ``peer_fused_s`` of each round, ``flops`` of a step, ``peak``
        operations a second of each round's product, ``tokens`` of a step, ``parameters``.
    """
    torch.set_num_threads(THREADS)
    figures: dict[str, Any] = {}
    for name, (config, num_rows, context) in SIZES.items():
        figures[name] = {}
        for precision in PRECISIONS:
            ids = np.random.default_rng(0).integers(0, config.vocab_size, (num_rows, context + 1))
            steps = {"ours_s": ours(config, ids, precision), **transformers_steps(config, ids, precision)}
            figures[name][precision] = {
                **_times(steps, precision, rounds),
                "flops": training_flops_per_token(config, context) * num_rows * context,
                "tokens": num_rows * context,
                "parameters": config.num_parameters,
            }
    return figures


def ours(config: ModelConfig, ids: np.ndarray, precision: Precision) -> Step:
    """The trainer's step."""
    model = Llama(config).init_weights(0)
    optimizers = Optimizers(model, OptimizerTable(), 1e-4)
    batch = Batch(ids[:, :-1], ids[:, 1:], ())

    def step() -> None:
        accumulate(model, batch, micro_rows=len(ids), dtype=compute_dtype(precision))
        clip(model, 1.0)
        optimizers.step(1.0)

    return step


def transformers_steps(config: ModelConfig, ids: np.ndarray, precision: Precision) -> dict[str, Step]:
    """The same by transformers' model and torch's AdamW: ``peer_s`` as it comes, ``peer_fused_s`` fused."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "max_position_embeddings",
        "rms_norm_eps",
        "tie_word_embeddings",
    )
    model = LlamaForCausalLM(LlamaConfig(**{name: getattr(config, name) for name in sizes}))
    ids_BT = torch.from_numpy(ids[:, :-1].copy())

    def step(optimizer: torch.optim.Optimizer) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = model(input_ids=ids_BT, labels=ids_BT).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def with_adamw(**kind: bool) -> Step:
        adamw = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, **kind)
        return lambda: step(adamw)

    return {"peer_s": with_adamw(), "peer_fused_s": with_adamw(fused=True)}


def _times(steps: dict[str, Step], precision: Precision, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, forwards and backwards in turn, and the machine's rate; the first round is dropped."""
    figures: dict[str, list[float]] = {"peak": [], **{name: [] for name in steps}}
    for number in range(rounds + 1):
        figures["peak"].append(peak_flops_per_s(precision))
        for name in steps if number % 2 else reversed(steps):
            begin = time.perf_counter()
            steps[name]()
            figures[name].append(time.perf_counter() - begin)
    return {name: values[1:] for name, values in figures.items()}
