"""How long whole steps take on this machine: measured on a model that is thrown away."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from textmill.data.loader import Batch
from textmill.model.config import ModelConfig
from textmill.model.flops import training_flops_per_token
from textmill.model.llama import Llama
from textmill.train.memory import MemoryChoice, choose_memory
from textmill.train.optim import Optimizers
from textmill.train.precision import Precision, compute_dtype, median_time_s
from textmill.train.recipe import Recipe
from textmill.train.step import accumulate, clip


def set_threads(recipe: Recipe) -> None:
    """Let torch use as many threads as the recipe says, where it says so."""
    if recipe.run.threads is not None:
        torch.set_num_threads(recipe.run.threads)


def precisions(recipe: Recipe) -> tuple[Precision, ...]:
    """What a run may compute in."""
    return ("f32", "bf16") if recipe.run.precision == "auto" else (recipe.run.precision,)


def flops_per_s(recipe: Recipe, config: ModelConfig) -> float:
    """Measure the floating-point operations a second of whole steps, in the precision that is faster.

    They are counted by ``training_flops_per_token``.

    Raises:
        ConfigError: a step does not fit into memory.
    """
    set_threads(recipe)
    memory = choose_memory(recipe, config, lambda message: None)
    fastest = min(step_time_s(recipe, config, memory, precision) for precision in precisions(recipe))
    context = recipe.stage.context
    return recipe.batch.rows * context * training_flops_per_token(config, context) / fastest


def step_time_s(recipe: Recipe, config: ModelConfig, memory: MemoryChoice, precision: Precision) -> float:
    """Time whole steps of a model that is thrown away, on ids that mean nothing; returns seconds."""
    model = Llama(config).init_weights(0)
    optimizers = Optimizers(model, recipe.optimizer, recipe.schedule.peak_lr, compute_dtype(precision))
    rows, context = recipe.batch.rows, recipe.stage.context
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

    return median_time_s(step, min_s=1.0)
