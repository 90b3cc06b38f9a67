"""The training loop: batch, step, event; validation and checkpoints when they are due; a stop when it is asked for."""

from __future__ import annotations

import math
import resource
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from textmill.base import units
from textmill.base.errors import StorageError, TextmillError
from textmill.base.events import Event, EventLog
from textmill.checkpoint.async_saver import CheckpointSaver
from textmill.checkpoint.huggingface import save_model, write_small_files
from textmill.checkpoint.tensors import as_numpy
from textmill.data.loader import Batch
from textmill.model.config import ModelConfig
from textmill.model.flops import training_flops_per_token
from textmill.tokenizer.end_of_text import end_of_text
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.out_of_memory import halve_micro_rows, is_out_of_memory
from textmill.train.plan import TrainStage
from textmill.train.precision import compute_dtype
from textmill.train.ranks import ALONE, Ranks
from textmill.train.recovery import intervene
from textmill.train.run import Run
from textmill.train.schedule import learning_rate_factor
from textmill.train.step import accumulate, clip, drop_gradients
from textmill.train.stop import StopRequest
from textmill.train.trainer import Trainer, assemble
from textmill.train.validation import bits_per_byte, first_words, sample_held_out

Observer = Callable[[Event], None]
# Continues a prompt with a model of these sizes and tensors by so many tokens.
Sampler = Callable[[ModelConfig, Mapping[str, np.ndarray], Tokenizer, str, int], str]
Tell = Callable[..., None]
MODEL = "model"


def train(
    run: Run, observe: Observer, *, resume: bool = False, sampler: Sampler | None = None, ranks: Ranks = ALONE
) -> Path:
    """Train a planned run to its end.

    Args:
        run: its shards and tokenizer are in its folder.
        observe: sees each event once it is in the log; it cannot change the run.
        resume: go on from the last whole checkpoint.
        sampler: writes the samples of validations; without one there are none.
        ranks: the processes that train together; the first writes logs and checkpoints.

    Returns:
        the folder of the finished model.

    Raises:
        StoppedError: a signal came; the step in hand was finished and saved before.
        TextmillError: loss or gradient jumped again and again, or memory ran out with a single row.
        StorageError: the disk is full; the last checkpoint is whole.
        DataError: shards are not as long as their manifest says, or all checkpoints are damaged.
    """
    torch.set_num_threads(run.plan.threads)
    with StopRequest() as stop:
        log = EventLog(run.events) if ranks.is_first else None

        def tell(kind: str, step: int, **fields: Any) -> None:
            if log is not None:
                observe(log.write(kind, step, **fields))

        try:
            trainer = _resume(run, tell, ranks) if resume else _start(run, tell)
            with _Loop(trainer, tell, stop, ranks, sampler) as loop:
                loop.go()
            folder = run.folder / MODEL
            if ranks.is_first:
                save_model(folder, run.plan.model, trainer.model.state_dict(), trainer.tokenizer, add_bos_token=True)
            tell("end", trainer.step)
            if stop:
                raise stop.error(f"stopped when the run was done; the model is in {folder}")
        except StorageError as error:
            raise StorageError(
                f"{error}; then go on with: textmill train {shlex.quote(str(run.folder))} --resume"
            ) from error
        finally:
            if log is not None:
                log.close()
    return folder


class _Loop:
    """Takes a trainer to its last step."""

    def __init__(self, trainer: Trainer, tell: Tell, stop: StopRequest, ranks: Ranks, sampler: Sampler | None) -> None:
        self.trainer, self.tell, self.stop, self.ranks, self.sampler = trainer, tell, stop, ranks, sampler
        self.samples = sample_held_out(trainer.held_out, trainer.tokenizer, trainer.run.recipe.eval.max_tokens)
        self.stage: TrainStage | None = None
        self.saver: CheckpointSaver | None = None
        if ranks.is_first:
            self.saver = CheckpointSaver(
                trainer.run.folder,
                keep=trainer.run.recipe.checkpoint.keep,
                write_small_files=self._write_small_files,
                reserve_bytes=12 * trainer.run.plan.model.num_parameters,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.saver is not None:
            self.saver.__exit__(kind, error, trace)

    def go(self) -> None:
        """Take steps until the run is done or a signal comes; every step is of the same kind, replayed or new."""
        trainer, plan = self.trainer, self.trainer.run.plan
        while trainer.step < plan.num_steps and not self._is_stopped():
            self._enter_stage()
            if not self._take_step():
                continue
            last = trainer.step == plan.num_steps
            if last or trainer.step % trainer.run.recipe.eval.every_steps == 0:
                self._validate()
            if last or trainer.step % trainer.run.recipe.checkpoint.every_steps == 0:
                self._save(wait=last)
            self._tell_saves()
        if trainer.step < plan.num_steps:
            self._end_early()

    def _is_stopped(self) -> bool:
        return bool(self.stop) if self.ranks.size == 1 else self.ranks.any(bool(self.stop))

    def _enter_stage(self) -> None:
        trainer = self.trainer
        stage = trainer.run.plan.stage_of(trainer.step)
        if stage is not self.stage:
            self.stage = stage
            trainer.model.set_rope(trainer.run.plan.model_in(stage))
            self.bytes_per_token = _bytes_per_token(trainer, stage)
            self.tell(
                "stage",
                trainer.step,
                name=stage.name,
                context=stage.context,
                rope_theta=stage.rope_theta,
                mixture=stage.mixture,
            )
        trainer.watch.enter(stage.name)
        if trainer.run.recipe.spikes.action == "rewind":
            trainer.snapshots.keep(trainer.step, trainer.model, trainer.optimizers, trainer.watch.state())

    def _take_step(self) -> bool:
        """Take a step, or go back where its loss or gradient is no good; says which."""
        trainer, plan, recipe = self.trainer, self.trainer.run.plan, self.trainer.run.recipe
        begin = time.perf_counter()
        batch = trainer.loader.batch(trainer.step, self.ranks.rank, self.ranks.size)
        loss, grad_norm = self._gradient(batch)
        if trainer.watch.judge(loss, grad_norm) != "fine":
            drop_gradients(trainer.model)
            if self.saver is not None:
                self.saver.wait()  # what is on the disk is looked at
            self.ranks.wait()
            if intervene(trainer, loss, grad_norm, self.tell, self.ranks):
                self._leave_way()
            return False
        branched_at = plan.start_step if plan.parent is not None else None
        factor = learning_rate_factor(recipe.schedule, trainer.step, plan.num_steps, branched_at)
        trainer.optimizers.step(factor)
        trainer.watch.add(loss, grad_norm)
        trainer.step += 1
        self._tell_step(loss, grad_norm, factor * recipe.schedule.peak_lr, time.perf_counter() - begin)
        return True

    def _gradient(self, batch: Batch) -> tuple[float, float]:
        """Loss and gradient norm of a batch; fewer rows go through at once where memory runs out."""
        trainer, plan, stage = self.trainer, self.trainer.run.plan, self.stage
        assert stage is not None
        while True:
            micro_rows = trainer.interventions.micro_rows.get(stage.name, stage.micro_rows)
            try:
                loss = accumulate(
                    trainer.model,
                    batch,
                    micro_rows=micro_rows,
                    dtype=compute_dtype(plan.precision),
                    remat=plan.remat,
                    ranks=self.ranks,
                )
                return loss, clip(trainer.model, trainer.run.recipe.optimizer.clip_grad_norm)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            drop_gradients(trainer.model)
            halve_micro_rows(trainer, stage, micro_rows, self.tell, self.ranks)

    def _tell_step(self, loss: float, grad_norm: float, lr: float, time_s: float) -> None:
        trainer, plan, stage = self.trainer, self.trainer.run.plan, self.stage
        assert stage is not None
        tokens_per_s = plan.tokens_per_step / time_s
        flops_per_s = tokens_per_s * training_flops_per_token(plan.model, stage.context)
        peak = plan.peak_flops_per_s
        self.tell(
            "step",
            trainer.step,
            loss=loss,
            bits_per_byte=loss / math.log(2) / self.bytes_per_token,
            grad_norm=grad_norm,
            lr=lr,
            tokens=trainer.step * plan.tokens_per_step,
            tokens_per_s=tokens_per_s,
            flops_per_s=flops_per_s,
            mfu=None if peak is None else flops_per_s / (peak * self.ranks.size),
            memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            stage=stage.name,
        )

    def _validate(self) -> None:
        trainer, stage = self.trainer, self.stage
        assert stage is not None
        if not self.ranks.is_first or not self.samples:
            return
        scores = bits_per_byte(
            trainer.model,
            self.samples,
            first_id=end_of_text(trainer.tokenizer),
            context=stage.context,
            precision=trainer.run.plan.precision,
        )
        self.tell("eval", trainer.step, bits_per_byte=scores)
        num_tokens = trainer.run.recipe.eval.sample_tokens
        if self.sampler is None or num_tokens == 0:
            return
        prompt = trainer.run.recipe.eval.prompt or first_words(self.samples, trainer.tokenizer)
        tensors = {name: as_numpy(tensor) for name, tensor in trainer.model.state_dict().items()}
        try:
            text = self.sampler(trainer.run.plan.model_in(stage), tensors, trainer.tokenizer, prompt, num_tokens)
        except (TextmillError, OSError) as error:  # a run is not worth less than a look at it
            self.tell("sample_failed", trainer.step, error=str(error))
            return
        self.tell("sample", trainer.step, prompt=prompt, text=text)

    def _save(self, *, wait: bool = False) -> None:
        """Begin to save: the loop goes on once the tensors are copied, or with ``wait`` once they are on the disk."""
        trainer = self.trainer
        if self.saver is None:
            return
        self.saver.wait()  # its thread asks for the stage
        self.saved_stage = trainer.run.plan.stage_of(trainer.step - 1)
        save = self.saver.save_last if wait else self.saver.save
        save(
            trainer.step,
            model=trainer.model.state_dict(),
            optimizer=trainer.optimizers.state_tensors(),
            state=trainer.state(),
        )

    def _leave_way(self) -> None:
        """After a rewind behind checkpoints: save where the run stands, then remove those of the way that is left."""
        if self.saver is not None:
            self.saver.forget()
        self.ranks.wait()  # all have read what they go back to
        self._save(wait=True)
        self._tell_saves()
        if self.ranks.is_first:
            self.trainer.remove_outdated()

    def _write_small_files(self, folder: Path) -> None:
        trainer = self.trainer
        config = trainer.run.plan.model_in(self.saved_stage)
        write_small_files(folder, config, trainer.tokenizer, add_bos_token=True)

    def _tell_saves(self) -> None:
        """Log the saves that ended since."""
        for result in [] if self.saver is None else self.saver.finished():
            if result.error is not None:
                self.tell("save_failed", result.step, error=str(result.error))
            else:
                self.tell(
                    "checkpoint",
                    result.step,
                    pause_s=result.pause_s,
                    time_s=result.total_s,
                    num_bytes=result.num_bytes,
                )

    def _end_early(self) -> None:
        trainer, run = self.trainer, self.trainer.run
        self._save(wait=True)
        self._tell_saves()
        self.tell("stop", trainer.step)
        if not self.stop:
            self.stop.note_elsewhere()
        raise self.stop.error(
            f"stopped at step {trainer.step} of {run.plan.num_steps}, which is saved; "
            f"go on with: textmill train {shlex.quote(str(run.folder))} --resume"
        )


def _bytes_per_token(trainer: Trainer, stage: TrainStage) -> float:
    """Bytes of text that a token of a stage's mixture stands for, to give the loss in bits per byte."""
    total = sum(stage.mixture.values())
    manifests = {name: trainer.shards[name].manifest for name in stage.mixture}
    return sum(
        weight / total * manifests[name].num_bytes / manifests[name].num_tokens
        for name, weight in stage.mixture.items()
    )


def _start(run: Run, tell: Tell) -> Trainer:
    # A checkpoint is weights and two moments in float32, the finished model its weights once more.
    needed = 16 * run.plan.model.num_parameters
    free = shutil.disk_usage(run.folder).free
    if free < needed:
        raise StorageError(
            f"{run.folder} has {units.num_bytes(free)} free, and a checkpoint and the model take "
            f"{units.num_bytes(needed)}: the training would be lost. Free some space"
        )
    plan = run.plan
    trainer = assemble(run)
    trainer.load(None)
    tell(
        "start",
        trainer.step,
        num_steps=plan.num_steps,
        num_parameters=plan.model.num_parameters,
        tokens_per_step=plan.tokens_per_step,
        precision=plan.precision,
        remat=plan.remat,
        micro_rows=plan.stages[0].micro_rows,
        threads=plan.threads,
        predicted_bytes=plan.predicted_bytes,
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


def _resume(run: Run, tell: Tell, ranks: Ranks) -> Trainer:
    trainer = assemble(run)
    trainer.resume()
    tell("resume", trainer.step, num_steps=run.plan.num_steps, passed_over=trainer.passed_over)
    ranks.wait()  # all have read theirs
    if ranks.is_first:
        trainer.remove_outdated()
    return trainer
