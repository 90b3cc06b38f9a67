"""Where a run's loop begins: at its first step, or at its last whole checkpoint; told to the log."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

from textmill.base import units
from textmill.base.errors import StorageError
from textmill.checkpoint.store import lies_in_parts, list_checkpoints
from textmill.train.compiled import compile_blocks, failure_of_trial, why_not
from textmill.train.compiler_failure import go_on_without
from textmill.train.objective import Objective
from textmill.train.ranks import Ranks
from textmill.train.run import Run
from textmill.train.trainer import Trainer, assemble

Tell = Callable[..., None]


def begin_run(run: Run, tell: Tell, ranks: Ranks, mesh: str | None, objective: Objective | None = None) -> Trainer:
    """Make a run's first state, laid out on the ranks as ``mesh`` says.

    Raises:
        StorageError: the disk has no room for a checkpoint and the model.
    """
    needed = checkpoint_bytes(run) + 4 * run.plan.model.num_parameters  # the finished model
    free = shutil.disk_usage(run.folder).free
    if free < needed:
        raise StorageError(
            f"{run.folder} has {units.num_bytes(free)} free, and a checkpoint and the model take "
            f"{units.num_bytes(needed)}: the training would be lost. Free some space"
        )
    trainer = assemble(run, ranks, mesh, objective)
    trainer.load(None)
    if objective is not None:
        objective.begin(trainer)
    _compile(trainer, tell)
    plan = trainer.run.plan
    tell(
        "start",
        trainer.step,
        num_steps=plan.num_steps,
        num_parameters=plan.model.num_parameters,
        **({} if plan.learned_parameters is None else {"learned_parameters": plan.learned_parameters}),
        tokens_per_step=plan.tokens_per_step,
        precision=plan.precision,
        remat=plan.remat,
        micro_rows=plan.stages[0].micro_rows,
        threads=plan.threads,
        predicted_bytes=plan.predicted_bytes,
        **({} if plan.predicted_host_bytes is None else {"predicted_host_bytes": plan.predicted_host_bytes}),
        **_place(trainer),
        compiled=plan.compiled,
        stages=[
            {
                "name": stage.name,
                "first_step": stage.first_step,
                "num_steps": stage.num_steps,
                "context": stage.context,
                "rope_theta": stage.rope_theta,
                "mixture": stage.mixture,
            }
            for stage in plan.stages
        ],
        branch=None if plan.parent is None else {"run": plan.parent, "step": plan.start_step},
    )
    return trainer


def checkpoint_bytes(run: Run) -> int:
    """Bytes of a checkpoint's tensors at most: weights, two moments and the weights' average, in float32."""
    num_learned = run.plan.learned_parameters or run.plan.model.num_parameters
    return (16 if run.recipe.optimizer.ema_decay else 12) * num_learned


def resume_run(run: Run, tell: Tell, ranks: Ranks, mesh: str | None, objective: Objective | None = None) -> Trainer:
    """Take a run's state from its last whole checkpoint, and remove those of a way that was left.

    Raises:
        DataError: there are checkpoints, and all of them are damaged.
    """
    trainer = assemble(run, ranks, mesh, objective)
    trainer.resume()
    if objective is not None:
        objective.begin(trainer)
    _compile(trainer, tell)
    tell("resume", trainer.step, num_steps=run.plan.num_steps, passed_over=trainer.passed_over, **_place(trainer))
    ranks.wait()  # all have read theirs
    if ranks.is_first:
        trainer.remove_outdated()
        _gather(run.folder)
    return trainer


def _gather(folder: Path) -> None:
    """Make the last checkpoint one that everything reads, where there was no room for that when it was written."""
    folders = list_checkpoints(folder)
    if folders and lies_in_parts(folders[-1]):
        from textmill.checkpoint.parts import gather_parts  # torch's distributed checkpoints take time to import

        with contextlib.suppress(StorageError):
            gather_parts(folders[-1])


def _compile(trainer: Trainer, tell: Tell) -> None:
    """Compile the blocks where the plan says so and this machine can; several ranks all do, or none."""
    if not trainer.run.plan.compiled:
        return
    ranks, device = trainer.layout.ranks, trainer.layout.device
    reason = why_not(device)
    if reason is None and ranks.size > 1:  # in a step, others would wait for one whose compiler fails
        reason = failure_of_trial(device)
    if ranks.any(reason is not None):
        go_on_without(trainer, reason or "another process cannot compile", tell)
    else:
        compile_blocks(trainer.model)


def _place(trainer: Trainer) -> dict[str, object]:
    """Where the model is, for the log."""
    layout = trainer.layout
    return {"mesh": layout.name, "ranks": layout.ranks.size, "device": layout.device.type}
