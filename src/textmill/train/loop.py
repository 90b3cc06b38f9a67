"""The training loop: batch, step, event; validation and checkpoints when they are due; a stop when it is asked for."""

from __future__ import annotations

import math
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from textmill.base import units
from textmill.base.errors import DataError, StorageError
from textmill.base.events import Event, EventLog
from textmill.checkpoint.huggingface import load_tensors, save_model, write_small_files
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.store import load_checkpoint, prune, save_checkpoint
from textmill.checkpoint.tensors import as_torch, fill_model
from textmill.data.loader import BatchLoader
from textmill.data.shards import ShardSet
from textmill.model.flops import training_flops_per_token
from textmill.model.llama import Llama
from textmill.tokenizer.end_of_text import end_of_text
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.corpus import TOKENIZER, open_shards
from textmill.train.optim import Optimizers
from textmill.train.run import Run, last_checkpoint
from textmill.train.run_loader import make_loader
from textmill.train.schedule import learning_rate_factor
from textmill.train.step import StepResult, take_step
from textmill.train.stop import StopRequest
from textmill.train.validation import bits_per_byte, sample_held_out

Observer = Callable[[Event], None]
MODEL = "model"


@dataclass(slots=True)
class Trainer:
    """What a run holds in memory while it trains."""

    run: Run
    tokenizer: Tokenizer
    model: Llama
    optimizers: Optimizers
    shards: dict[str, ShardSet]
    held_out: dict[str, ShardSet]
    step: int


def train(run: Run, observe: Observer, *, resume: bool = False) -> Path:
    """Train a planned run to its end.

    Args:
        run: its shards and tokenizer are in its folder.
        observe: sees each event once it is in the log; it cannot change the run.
        resume: go on from the last whole checkpoint.

    Returns:
        the folder of the finished model.

    Raises:
        StoppedError: a signal came; the step in hand was finished and saved before.
        TextmillError: the loss stopped being finite.
        StorageError: the disk is full; the last checkpoint is whole.
        DataError: shards are not as long as their manifest says, or all checkpoints are damaged.
    """
    torch.set_num_threads(run.plan.threads)
    log = EventLog(run.events)

    def tell(kind: str, step: int, **fields: Any) -> None:
        observe(log.write(kind, step, **fields))

    try:
        with StopRequest() as stop:
            trainer = _resume(run, tell) if resume else _start(run, tell)
            _steps(trainer, tell, stop)
            folder = _finish(trainer)
            tell("end", trainer.step)
            if stop:
                raise stop.error(f"stopped when the run was done; the model is in {folder}")
    except StorageError as error:
        raise StorageError(
            f"{error}; then go on with: textmill train {shlex.quote(str(run.folder))} --resume"
        ) from error
    finally:
        log.close()
    return folder


def _steps(trainer: Trainer, tell: Callable[..., None], stop: StopRequest) -> None:
    run, plan, recipe = trainer.run, trainer.run.plan, trainer.run.recipe
    loader = make_loader(recipe, trainer.shards)
    samples = sample_held_out(trainer.held_out, trainer.tokenizer, recipe.eval.max_tokens)
    bytes_per_token = _bytes_per_token(trainer.shards, loader)
    saved = trainer.step if trainer.step else None
    while trainer.step < plan.num_steps and not stop:
        begin = time.perf_counter()
        batch = loader.batch(trainer.step)
        factor = learning_rate_factor(recipe.schedule, trainer.step, plan.num_steps)
        result = take_step(
            trainer.model,
            trainer.optimizers,
            batch.inputs,
            batch.targets,
            micro_rows=plan.micro_rows,
            precision=plan.precision,
            clip_grad_norm=recipe.optimizer.clip_grad_norm,
            factor=factor,
        )
        trainer.step += 1
        tell(
            "step", trainer.step, **_step_fields(trainer, result, factor, time.perf_counter() - begin, bytes_per_token)
        )
        last = trainer.step == plan.num_steps
        if samples and (last or trainer.step % recipe.eval.every_steps == 0):
            scores = bits_per_byte(
                trainer.model,
                samples,
                first_id=end_of_text(trainer.tokenizer),
                context=plan.context,
                precision=plan.precision,
            )
            tell("eval", trainer.step, bits_per_byte=scores)
        if last or trainer.step % recipe.checkpoint.every_steps == 0:
            _save(trainer, tell)
            saved = trainer.step
    if stop:
        if saved != trainer.step:
            _save(trainer, tell)
        tell("stop", trainer.step)
        raise stop.error(
            f"stopped at step {trainer.step} of {plan.num_steps}, which is saved; "
            f"go on with: textmill train {shlex.quote(str(run.folder))} --resume"
        )


def _step_fields(
    trainer: Trainer, result: StepResult, factor: float, time_s: float, bytes_per_token: float
) -> dict[str, float]:
    plan = trainer.run.plan
    tokens_per_s = plan.tokens_per_step / time_s
    return {
        "loss": result.loss,
        "bits_per_byte": result.loss / math.log(2) / bytes_per_token,
        "grad_norm": result.grad_norm,
        "lr": factor * trainer.run.recipe.schedule.peak_lr,
        "tokens": trainer.step * plan.tokens_per_step,
        "tokens_per_s": tokens_per_s,
        "flops_per_s": tokens_per_s * training_flops_per_token(plan.model, plan.context),
    }


def _bytes_per_token(shards: dict[str, ShardSet], loader: BatchLoader) -> float:
    """Bytes of text that a token of the mixture stands for, to give the loss in bits per byte."""
    shares = loader.shares
    return sum(share * shards[name].manifest.num_bytes / shards[name].num_tokens for name, share in shares.items())


def _start(run: Run, tell: Callable[..., None]) -> Trainer:
    # A checkpoint is weights and two moments in float32, the finished model its weights once more.
    needed = 16 * run.plan.model.num_parameters
    free = shutil.disk_usage(run.folder).free
    if free < needed:
        raise StorageError(
            f"{run.folder} has {units.num_bytes(free)} free, and a checkpoint and the model take "
            f"{units.num_bytes(needed)}: the training would be lost. Free some space"
        )
    trainer = _assemble(run)
    start_from = run.recipe.model.from_
    if start_from is not None:
        fill_model(trainer.model, load_tensors(resolve_model(start_from), run.plan.model))
    else:
        trainer.model.init_weights(run.recipe.run.seed)
    tell(
        "start",
        0,
        num_steps=run.plan.num_steps,
        num_parameters=run.plan.model.num_parameters,
        tokens_per_step=run.plan.tokens_per_step,
        precision=run.plan.precision,
    )
    return trainer


def _resume(run: Run, tell: Callable[..., None]) -> Trainer:
    damage: list[DataError] = []
    checkpoint = load_checkpoint(last_checkpoint(run.folder, damage))
    trainer = _assemble(run)
    fill_model(trainer.model, checkpoint.model)
    trainer.optimizers.load_state_tensors({name: as_torch(array) for name, array in checkpoint.optimizer.items()})
    trainer.step = checkpoint.step
    tell("resume", checkpoint.step, num_steps=run.plan.num_steps, passed_over=[str(error) for error in damage])
    return trainer


def _assemble(run: Run) -> Trainer:
    tokenizer = Tokenizer.load(run.folder / TOKENIZER)
    shards, held_out = open_shards(run.folder, run.recipe, tokenizer)
    model = Llama(run.plan.model)
    optimizers = Optimizers(model, run.recipe.optimizer, run.recipe.schedule.peak_lr)
    return Trainer(run, tokenizer, model, optimizers, shards, held_out, 0)


def _save(trainer: Trainer, tell: Callable[..., None]) -> None:
    run = trainer.run
    begin = time.perf_counter()
    save_checkpoint(
        run.folder,
        trainer.step,
        model=trainer.model.state_dict(),
        optimizer=trainer.optimizers.state_tensors(),
        state={"tokens": trainer.step * run.plan.tokens_per_step},
        write_small_files=lambda folder: write_small_files(
            folder, run.plan.model, trainer.tokenizer, add_bos_token=True
        ),
    )
    prune(run.folder, run.recipe.checkpoint.keep)
    tell("checkpoint", trainer.step, time_s=time.perf_counter() - begin)


def _finish(trainer: Trainer) -> Path:
    folder = trainer.run.folder / MODEL
    save_model(folder, trainer.run.plan.model, trainer.model.state_dict(), trainer.tokenizer, add_bos_token=True)
    return folder
