"""How long whole steps take on this machine: measured on a model that is thrown away."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from textmill.data.loader import Batch
from textmill.model.config import ModelConfig
from textmill.model.flops import training_flops_per_token
from textmill.model.llama import Llama
from textmill.train.compiled import compile_blocks
from textmill.train.memory import MemoryChoice, choose_memory
from textmill.train.optim import Optimizers
from textmill.train.precision import Precision, compute_dtype, median_time_s
from textmill.train.ranks import CPU, own_device
from textmill.train.recipe import Recipe
from textmill.train.spread import HERE, Spread
from textmill.train.step import accumulate, clip


def set_threads(recipe: Recipe) -> None:
    """Let torch use as many threads as the recipe says, where it says so."""
    if recipe.run.threads is not None:
        torch.set_num_threads(recipe.run.threads)


def precisions(recipe: Recipe, spread: Spread = HERE) -> tuple[Precision, ...]:
    """What a run may compute in: a GPU that has bf16 is faster in it, a CPU has to be timed."""
    if recipe.run.precision != "auto":
        return (recipe.run.precision,)
    if spread.device == "cuda":
        return ("bf16",) if torch.cuda.is_bf16_supported(including_emulation=False) else ("f32",)
    return ("f32", "bf16")


def flops_per_s(recipe: Recipe, config: ModelConfig, spread: Spread = HERE) -> float:
    """Measure the floating-point operations a second of whole steps, in the precision that is faster.

    They are counted by ``training_flops_per_token``; those of all processes, each taken to be as fast as this one.

    Raises:
        ConfigError: a step does not fit into memory.
    """
    set_threads(recipe)
    memory = choose_memory(recipe, config, lambda message: None, spread=spread)
    fastest = min(step_time_s(recipe, config, memory, name, spread) for name in precisions(recipe, spread))
    context = recipe.stage.context
    return recipe.batch.rows * context * training_flops_per_token(config, context) / fastest


def step_time_s(
    recipe: Recipe,
    config: ModelConfig,
    memory: MemoryChoice,
    precision: Precision,
    spread: Spread = HERE,
    *,
    compiled: bool = False,
) -> float:
    """Time whole steps of a model that is thrown away, on ids that mean nothing; returns seconds.

    It is one process's share of a step; what goes between processes is not in it.
    """
    device = own_device() if spread.device == "cuda" else CPU
    with device:
        model = Llama(config)
    model.init_weights(0)
    if compiled:
        compile_blocks(model)
    optimizers = Optimizers(model, recipe.optimizer, recipe.schedule.peak_lr, compute_dtype(precision))
    rows, context = -(-recipe.batch.rows // spread.num_readers), recipe.stage.context
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (rows, context + 1))
    remat: Literal["none", "llama", "full"] = memory.remat

    def step() -> None:
        accumulate(
            model,
            Batch(ids[:, :-1], ids[:, 1:], ()),
            micro_rows=memory.micro_rows[0],
            dtype=compute_dtype(precision),
            remat=remat,
            z_loss=recipe.optimizer.z_loss,
        )
        clip(model, recipe.optimizer.clip_grad_norm)
        optimizers.step(1e-6)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return median_time_s(step, min_s=1.0)
