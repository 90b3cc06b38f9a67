"""Steps of a run by the trainer's own functions, in any dtype, shared out among threads, parts and processes."""

from datetime import timedelta

import numpy as np
import torch
from torch import distributed

from textmill.train.ranks import ALONE, Ranks
from textmill.train.run import load_run
from textmill.train.step import accumulate, clip
from textmill.train.trainer import assemble


def _trainer(run):
    """A run's trainer, no weight of which is zero: at a run's own first step most gradients are."""
    trainer = assemble(load_run(run))
    trainer.load(None)
    trainer.model.init_weights(1, residual="scaled")
    return trainer


def gradient(run, *, micro_rows, threads=1, ranks=ALONE, step=0):
    """The mean loss and the gradient of a step at the first weights, in float32, by parameter."""
    torch.set_num_threads(threads)
    trainer = _trainer(run)
    batch = trainer.loader.batch(step, ranks.rank, ranks.size)
    loss = accumulate(trainer.model, batch, micro_rows=micro_rows, dtype=torch.float32, ranks=ranks)
    return {"loss": np.array(loss), **{name: p.grad.numpy() for name, p in trainer.model.named_parameters()}}


def weights(run, *, steps, micro_rows, threads=1, ranks=ALONE):
    """The losses of so many steps in float64, and the weights after them, by parameter."""
    torch.set_num_threads(threads)
    trainer = _trainer(run)
    trainer.model.to(torch.float64)
    losses = []
    for step in range(steps):
        batch = trainer.loader.batch(step, ranks.rank, ranks.size)
        losses.append(accumulate(trainer.model, batch, micro_rows=micro_rows, dtype=torch.float64, ranks=ranks))
        clip(trainer.model, trainer.run.recipe.optimizer.clip_grad_norm)
        trainer.optimizers.step(1.0)
    named = {name: p.detach().numpy() for name, p in trainer.model.named_parameters()}
    return {"loss": np.array(losses), **named}


def among_ranks(rank, size, meeting_place, *, run, steps, place):
    """Be one of the processes that share a step, and steps; the first one writes what came out."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{meeting_place}", rank=rank, world_size=size, timeout=timedelta(seconds=300)
    )
    ranks = Ranks(rank, size)
    one = gradient(run, micro_rows=2, ranks=ranks)
    many = weights(run, steps=steps, micro_rows=2, ranks=ranks)
    if ranks.is_first:
        np.savez(place, **{f"one/{name}": array for name, array in one.items()}, **many)
    distributed.destroy_process_group()
