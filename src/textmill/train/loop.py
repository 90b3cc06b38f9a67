"""The training loop: batch, step, event; validation and checkpoints when they are due; a stop when it is asked for."""

from __future__ import annotations

import math
import resource
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from textmill.base.errors import StorageError
from textmill.base.events import Event, EventLog
from textmill.checkpoint.huggingface import save_model
from textmill.data.loader import Batch
from textmill.model.flops import training_flops_per_token
from textmill.train.beginning import Tell, begin_run, resume_run
from textmill.train.compiler_failure import failure_to_compile, go_on_without
from textmill.train.looks import Looks, Sampler
from textmill.train.objective import Objective, ObjectiveLoader, Rows
from textmill.train.out_of_memory import halve_micro_rows, is_out_of_memory
from textmill.train.plan import TrainStage
from textmill.train.precision import compute_dtype
from textmill.train.ranks import ALONE, Ranks
from textmill.train.recovery import intervene, norms_rose
from textmill.train.run import Run
from textmill.train.saves import Saves
from textmill.train.schedule import learning_rate_factor
from textmill.train.step import accumulate
from textmill.train.stop import StopRequest
from textmill.train.trainer import Trainer

Observer = Callable[[Event], None]
MODEL = "model"
ADAPTER = "adapter"


def train(
    run: Run,
    observe: Observer,
    *,
    resume: bool = False,
    sampler: Sampler | None = None,
    ranks: Ranks = ALONE,
    mesh: str | None = None,
    objective: Objective | None = None,
) -> Path:
    """Train a planned run to its end.

    Args:
        run: its shards and tokenizer are in its folder.
        observe: sees each event once it is in the log; it cannot change the run.
        resume: go on from the last whole checkpoint.
        sampler: writes the samples of validations; without one there are none.
        ranks: the processes that train together; the first writes logs and checkpoints.
        mesh: how the model lies on them; see ``check_mesh``.
        objective: what it learns, where not the next token of its shards.

    Returns:
        the folder of the finished model.

    Raises:
        StoppedError: a signal came; the step in hand was finished and saved before.
        TextmillError: loss or gradient jumped again and again, or memory ran out with a single row.
        StorageError: the disk is full; the last checkpoint is whole.
        DataError: shards are not as long as their manifest says, or all checkpoints are damaged.
    """
    begin = time.perf_counter()
    torch.set_num_threads(run.plan.threads)
    with StopRequest(second_stops_at_once=ranks.size == 1) as stop:
        log = EventLog(run.events) if ranks.is_first else None

        def tell(kind: str, step: int, **fields: Any) -> None:
            if log is not None:
                observe(log.write(kind, step, **fields))

        try:
            trainer = (resume_run if resume else begin_run)(run, tell, ranks, mesh, objective)
            with Saves(trainer, tell) as saves:
                _Loop(trainer, tell, stop, ranks, saves=saves, looks=Looks(trainer, tell, sampler)).go(begin)
            folder = run.folder / MODEL
            with trainer.optimizers.averaged():
                _save_finished(trainer, folder)
            tell("end", trainer.step)
            if stop:
                raise stop.error(f"stopped when the run was done; the model is in {folder}")
        except StorageError as error:
            raise StorageError(f"{error}; then go on with: {run.resume_command}") from error
        finally:
            if log is not None:
                log.close()
    return folder


def _save_finished(trainer: Trainer, folder: Path) -> None:
    """Write the model, and adapters by themselves where it was them that were learned."""
    tensors: Mapping[str, torch.Tensor | np.ndarray]
    if trainer.adapters is not None:
        trainer.adapters.save(trainer.run.folder / ADAPTER, trainer.model)
        tensors = trainer.whole_weights()
    else:
        gathered = trainer.layout.gathered()
        if gathered is None:
            return
        tensors = gathered
    save_model(folder, trainer.run.plan.model.with_head_of(tensors), tensors, trainer.tokenizer, **trainer.small_files)


class _Loop:
    """Takes a trainer to its last step."""

    def __init__(
        self,
        trainer: Trainer,
        tell: Tell,
        stop: StopRequest,
        ranks: Ranks,
        *,
        saves: Saves,
        looks: Looks,
    ) -> None:
        self.trainer, self.tell, self.stop, self.ranks = trainer, tell, stop, ranks
        self.saves, self.looks = saves, looks
        self.stage: TrainStage | None = None
        self.told: dict[str, float] = {}  # what the objective says of the step in hand

    def go(self, begin: float) -> None:
        """Take steps until the run is done or a signal comes; every step is of the same kind, replayed or new.

        ``begin`` is when the run began or went on: what came before its first step, compiling too, is told.
        """
        trainer, plan = self.trainer, self.trainer.run.plan
        first = True
        while trainer.step < plan.num_steps and not self._is_stopped():
            self._enter_stage()
            if not self._take_step():
                continue
            if first:
                self.tell("first_step", trainer.step, time_s=time.perf_counter() - begin)
                first = False
            last = trainer.step == plan.num_steps
            if last or trainer.step % trainer.run.recipe.eval.every_steps == 0:
                with trainer.optimizers.averaged():
                    self.looks.look(plan.stage_of(trainer.step - 1))
            if last or trainer.step % trainer.run.recipe.checkpoint.every_steps == 0:
                self.saves.save(wait=last)
            self.saves.tell()
        if trainer.step < plan.num_steps:
            self._end_early()

    def _is_stopped(self) -> bool:
        return bool(self.stop) if self.ranks.size == 1 else self.ranks.any(bool(self.stop))

    def _enter_stage(self) -> None:
        trainer = self.trainer
        stage = trainer.run.plan.stage_of(trainer.step)
        if stage is not self.stage:
            self.stage = stage
            trainer.layout.set_rope(trainer.run.plan.model_in(stage))
            self.bytes_per_token = _bytes_per_token(trainer, stage) if trainer.objective is None else None
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
            trainer.snapshots.keep(
                trainer.step, trainer.layout.named_parameters(), trainer.optimizers, trainer.watch.state()
            )

    def _take_step(self) -> bool:
        """Take a step, or go back where its loss or gradient is no good; says which."""
        trainer, plan, recipe = self.trainer, self.trainer.run.plan, self.trainer.run.recipe
        begin = time.perf_counter()
        readers = trainer.layout.readers
        if isinstance(trainer.loader, ObjectiveLoader):
            assert trainer.objective is not None
            batch = trainer.objective.batch(trainer, trainer.loader.skipped.data_step(trainer.step))
        else:
            batch = trainer.loader.batch(trainer.step, readers.rank, readers.size)
        loss, grad_norm = self._gradient(batch)
        judgement = trainer.watch.judge(loss, grad_norm)
        if judgement == "spike" and norms_rose(trainer, loss):
            trainer.watch.forget_norms()
            self.tell("norms_rose", trainer.step, grad_norm=grad_norm)
            judgement = "fine"
        if judgement != "fine":
            trainer.layout.drop_gradients()
            self.saves.wait()
            self.ranks.wait()
            if intervene(trainer, loss, grad_norm, self.tell, self.ranks):
                self.ranks.wait()  # all have read what they go back to
                self.saves.leave_way()
            return False
        branched_at = plan.start_step if plan.parent is not None else None
        factor = learning_rate_factor(recipe.schedule, trainer.step, plan.num_steps, branched_at)
        trainer.optimizers.step(factor)
        trainer.watch.add(loss, grad_norm)
        trainer.step += 1
        self._tell_step(loss, grad_norm, factor * recipe.schedule.peak_lr, time.perf_counter() - begin)
        return True

    def _gradient(self, batch: Batch | Rows) -> tuple[float, float]:
        """Loss and gradient norm of a batch; with fewer rows at once, or uncompiled, where memory or compiler fail."""
        trainer, stage = self.trainer, self.stage
        assert stage is not None
        while True:
            micro_rows = trainer.interventions.micro_rows(trainer.step, stage.name, stage.micro_rows)
            try:
                loss = self._accumulate(batch, micro_rows)
                return loss, trainer.layout.clip(trainer.run.recipe.optimizer.clip_grad_norm)
            except (RuntimeError, MemoryError) as error:
                not_compiled = failure_to_compile(trainer, error)
                if not_compiled is None and not is_out_of_memory(error):
                    raise
            trainer.layout.drop_gradients()
            if not_compiled is not None:
                go_on_without(trainer, not_compiled, self.tell)
            else:
                halve_micro_rows(trainer, stage, min(micro_rows, len(batch.inputs)), self.tell, self.ranks)

    def _accumulate(self, batch: Batch | Rows, micro_rows: int) -> float:
        trainer = self.trainer
        if trainer.objective is not None:
            if trainer.adapters is not None:
                trainer.adapters.begin_step(trainer.step)
            loss, self.told = trainer.objective.accumulate(trainer, batch, micro_rows)
            return loss
        assert isinstance(batch, Batch)
        return accumulate(
            trainer.model,
            batch,
            micro_rows=micro_rows,
            dtype=compute_dtype(trainer.run.plan.precision),
            remat=trainer.run.plan.remat,
            z_loss=trainer.run.recipe.optimizer.z_loss,
            layout=trainer.layout,
        )

    def _tell_step(self, loss: float, grad_norm: float, lr: float, time_s: float) -> None:
        trainer, plan, stage = self.trainer, self.trainer.run.plan, self.stage
        assert stage is not None
        told = dict(self.told)
        tokens_per_s = told.pop("num_tokens", plan.tokens_per_step) / time_s
        if self.bytes_per_token is not None:
            told["bits_per_byte"] = loss / math.log(2) / self.bytes_per_token
            told["tokens"] = trainer.step * plan.tokens_per_step
        # Of a frozen matrix there is no gradient: a step of adapters takes two products of three.
        share = 1.0 if plan.learned_parameters is None else 2 / 3
        flops_per_s = share * tokens_per_s * training_flops_per_token(plan.model, stage.context)
        peak = plan.peak_flops_per_s
        self.tell(
            "step",
            trainer.step,
            loss=loss,
            **told,
            grad_norm=grad_norm,
            lr=lr,
            tokens_per_s=tokens_per_s,
            flops_per_s=flops_per_s,
            mfu=None if peak is None else flops_per_s / (peak * self.ranks.size),
            memory_bytes=_peak_bytes(trainer.layout.device),
            stage=stage.name,
        )

    def _end_early(self) -> None:
        trainer, run = self.trainer, self.trainer.run
        self.saves.save(wait=True)
        self.saves.tell()
        self.tell("stop", trainer.step)
        if not self.stop:
            self.stop.note_elsewhere()
        raise self.stop.error(
            f"stopped at step {trainer.step} of {run.plan.num_steps}, which is saved; go on with: {run.resume_command}"
        )


def _peak_bytes(device: torch.device) -> int:
    """The most memory that this process has held: on its GPU, where it has one."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _bytes_per_token(trainer: Trainer, stage: TrainStage) -> float:
    """Bytes of text that a token of a stage's mixture stands for, to give the loss in bits per byte."""
    total = sum(stage.mixture.values())
    manifests = {name: trainer.shards[name].manifest for name in stage.mixture}
    return sum(
        weight / total * manifests[name].num_bytes / manifests[name].num_tokens
        for name, weight in stage.mixture.items()
    )
