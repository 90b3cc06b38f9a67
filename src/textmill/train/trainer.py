"""What a run holds in memory while it trains: made afresh, read from a checkpoint, or taken back to an earlier step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from textmill.base.errors import DataError
from textmill.checkpoint.huggingface import load_tensors
from textmill.checkpoint.restore import restore_model, restore_optimizer
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.store import (
    MODEL,
    OPTIMIZER,
    Checkpoint,
    list_checkpoints,
    load_checkpoint,
    remove_checkpoint,
    step_of,
    verify_checkpoint,
)
from textmill.checkpoint.tensors import as_torch, check_shapes
from textmill.data.shards import ShardSet
from textmill.data.stages import StagedLoader
from textmill.model.llama import Llama
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.corpus import TOKENIZER, open_shards
from textmill.train.interventions import Interventions, load_interventions
from textmill.train.layout import Layout
from textmill.train.mesh import check_mesh, make_layout
from textmill.train.objective import Adapters, Objective, ObjectiveLoader
from textmill.train.optim import Optimizers
from textmill.train.precision import compute_dtype
from textmill.train.ranks import ALONE, Ranks
from textmill.train.run import Run
from textmill.train.run_loader import asked_ranges, make_loader
from textmill.train.snapshots import Snapshots
from textmill.train.spikes import SpikeWatch


@dataclass(slots=True)
class Trainer:
    """A run in memory.

    Attributes:
        layout: how the model lies on the ranks.
        step: optimizer steps done; the model, ``optimizers`` and ``watch`` are as they are after them.
        interventions: what was decided on the way so far.
        passed_over: checkpoints that could not be used, each with the reason.
        objective: what it learns; None for the next token of its shards.
    """

    run: Run
    tokenizer: Tokenizer
    layout: Layout
    optimizers: Optimizers
    shards: dict[str, ShardSet]
    held_out: dict[str, ShardSet]
    loader: StagedLoader | ObjectiveLoader
    watch: SpikeWatch
    snapshots: Snapshots
    interventions: Interventions
    step: int
    passed_over: list[str]
    objective: Objective | None = None

    @property
    def small_files(self) -> dict[str, Any]:
        """What ``write_small_files`` is told beside sizes and tokenizer."""
        return {"add_bos_token": True} if self.objective is None else dict(self.objective.small_files)

    @property
    def adapters(self) -> Adapters | None:
        """What is learned in the place of the model's own weights."""
        return None if self.objective is None else self.objective.adapters

    def tensors(self) -> dict[str, torch.Tensor]:
        """What is learned, as a checkpoint keeps it; all of the model but for adapters."""
        return dict(self.layout.named_parameters())

    def whole_weights(self) -> Mapping[str, torch.Tensor | np.ndarray]:
        """The model's weights by Hugging Face's names, adapters merged."""
        return self.tensors() if self.adapters is None else self.adapters.merged(self.model)

    @property
    def model(self) -> Llama:
        """What this rank has of the model."""
        return self.layout.model

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside tensors."""
        return {
            "tokens": self.step * self.run.plan.tokens_per_step,
            "num_skips": len(self.interventions.skips),
            "watch": self.watch.state(),
        }

    def go_to(self, step: int) -> None:
        """Bring the state to what it was after ``step`` steps or before: from memory, from a checkpoint, or anew.

        Where it is from before, the steps between have to be taken again; they come out the same.
        """
        snapshot = self.snapshots.find(step)
        if snapshot is not None:
            self.layout.fill_parts(snapshot.model)
            self.optimizers.load_state_tensors({name: tensor.clone() for name, tensor in snapshot.optimizer.items()})
            self.watch.load_state(snapshot.watch)
            self.step = snapshot.step
            return
        self.snapshots.clear()
        self.load(self._last_checkpoint(step))

    def load(self, checkpoint: Checkpoint | None) -> None:
        """Take the state of a checkpoint, or the run's first one where there is none.

        Raises:
            DataError: the checkpoint is of another model or optimizer.
        """
        if checkpoint is None:
            self._begin()
            return
        self._check_is_of_this_run(checkpoint)
        self._restore(checkpoint)
        self.watch.load_state(checkpoint.state.get("watch", {}))
        self.step = checkpoint.step

    def resume(self) -> None:
        """Take the state of the last checkpoint that is whole and on the way that the run took."""
        self.load(self._last_checkpoint(self.run.plan.num_steps))

    def remake_loader(self) -> None:
        """Let a decision on the way take effect."""
        self.loader = _loader(self.run, self.interventions, self.shards, self.tokenizer, self.objective)

    def remove_outdated(self) -> None:
        """Remove checkpoints of a way that was left."""
        for step in self.outdated():
            remove_checkpoint(self.run.folder, step)

    def outdated(self) -> list[int]:
        """Steps of the checkpoints that lie on a way which was left."""
        found = []
        for folder in list_checkpoints(self.run.folder):
            try:
                known = load_checkpoint(folder).state.get("num_skips", 0)
            except DataError:
                continue
            if self.interventions.outdates(step_of(folder), int(known)):
                found.append(step_of(folder))
        return found

    def _begin(self) -> None:
        run = self.run
        if run.plan.parent is not None:
            checkpoint = self._last_checkpoint(run.plan.start_step)
            if checkpoint is None:
                raise DataError(
                    f"{run.folder} lacks the checkpoint of step {run.plan.start_step}, where it leaves "
                    f"{run.plan.parent}; remove the folder, and start the branch again"
                )
            self.load(checkpoint)
            return
        self.optimizers.load_state_tensors({})
        self.watch.load_state({})
        self.step = 0
        if self.adapters is not None:
            self.layout.fill(self.adapters.first_weights(), "the adapters that tuning begins with")
        elif self.objective is not None:
            self.layout.fill(self.objective.first_weights(), "the model that tuning begins from")
        elif run.recipe.model.from_ is not None:
            self.layout.fill(load_tensors(resolve_model(run.recipe.model.from_), run.plan.model))
        else:
            self.layout.init_weights(run.recipe.run.seed)

    def _restore(self, checkpoint: Checkpoint) -> None:
        if checkpoint.is_in_parts:
            self._restore_parts(checkpoint)
            return
        if not self.layout.has_parts:
            restore_model(checkpoint, self.model)
            self.optimizers.load_state_tensors(restore_optimizer(checkpoint))
            return
        self.layout.fill(checkpoint.model, str(checkpoint.folder / MODEL))
        parts = {}
        for name, array in checkpoint.optimizer.items():
            whole = as_torch(array)
            # Memory of its own: what is there is a view of the file.
            parts[name] = (whole if not whole.ndim else self.layout.part(name.rpartition("/")[0], whole)).clone()
        self.optimizers.load_state_tensors(parts)

    def _restore_parts(self, checkpoint: Checkpoint) -> None:
        from textmill.checkpoint.parts import restore_parts  # torch's distributed checkpoints take time to import

        layout = self.layout
        leaves = {name: leaf.detach() for name, leaf in layout.named_parameters()}
        optimizer = {}
        for name, array in checkpoint.optimizer.items():
            leaf = leaves[name.rpartition("/")[0]]
            optimizer[name] = torch.empty_like(leaf) if array.ndim else torch.empty((), dtype=leaf.dtype)
        with layout.ranks.watched():
            restore_parts(
                checkpoint,
                model={name: layout.spread(name, leaf) for name, leaf in leaves.items()},
                optimizer={
                    name: layout.spread(name.rpartition("/")[0], part) if part.ndim else part
                    for name, part in optimizer.items()
                },
                alone=layout.ranks.size == 1,
            )
        self.optimizers.load_state_tensors(optimizer)

    def _check_is_of_this_run(self, checkpoint: Checkpoint) -> None:
        """Refuse tensors of another model or optimizer, before anything of the run is changed."""
        model = {name: self.layout.shape_of(name) for name, _ in self.layout.named_parameters()}
        optimizer = self.optimizers.state_shapes()
        try:
            for name, wanted, found in (
                (MODEL, model, checkpoint.model),
                (OPTIMIZER, optimizer, checkpoint.optimizer),
            ):
                shapes = {key: array.shape for key, array in found.items()}
                check_shapes(wanted, shapes, str(checkpoint.folder / name))
        except DataError as error:
            raise DataError(
                f"{error}. The checkpoint is of another run: remove {checkpoint.folder} to go on from the one before it"
            ) from error

    def _last_checkpoint(self, limit: int) -> Checkpoint | None:
        """The last usable checkpoint of at most ``limit`` steps; raises ``DataError`` where all are damaged."""
        damaged = 0
        folders = [folder for folder in list_checkpoints(self.run.folder) if step_of(folder) <= limit]
        for folder in reversed(folders):
            try:
                verify_checkpoint(folder)
                checkpoint = load_checkpoint(folder)
            except DataError as error:
                self.passed_over.append(str(error))
                damaged += 1
                continue
            if not self.interventions.outdates(checkpoint.step, int(checkpoint.state.get("num_skips", 0))):
                return checkpoint
        if damaged:
            raise DataError(
                f"{self.run.folder} has no whole checkpoint to go on from: {self.passed_over[-1]}; remove "
                f"{self.run.folder / 'checkpoints'} and run the same command again, which starts from the beginning"
            )
        return None


def assemble(run: Run, ranks: Ranks = ALONE, mesh: str | None = None, objective: Objective | None = None) -> Trainer:
    """Open what a run needs, its model still empty.

    Args:
        run: its shards and tokenizer are in its folder, where there is no ``objective``.
        ranks: the processes that train together.
        mesh: how the model lies on them; see ``check_mesh``.
        objective: what it learns, where not the next token of its shards.

    Raises:
        ConfigError: the model cannot be shared out so.
        DataError: shards or the tokenizer are missing, damaged or do not fit one another.
    """
    tokenizer = Tokenizer.load(run.folder / TOKENIZER) if objective is None else objective.tokenizer
    shards, held_out = ({}, {}) if objective is not None else open_shards(run.folder, run.recipe, tokenizer)
    layout = make_layout(check_mesh(mesh, ranks), run.plan.model, ranks, compute_dtype(run.plan.precision))
    if objective is not None and objective.adapters is not None:
        objective.adapters.adapt(layout.model, compute_dtype(run.plan.precision))
    interventions = load_interventions(run.folder)
    return Trainer(
        run=run,
        tokenizer=tokenizer,
        layout=layout,
        optimizers=Optimizers(
            layout.model,
            run.recipe.optimizer,
            run.recipe.schedule.peak_lr,
            compute_dtype(run.plan.precision),
            layout=layout,
        ),
        shards=shards,
        held_out=held_out,
        loader=_loader(run, interventions, shards, tokenizer, objective),
        watch=SpikeWatch(run.recipe.spikes),
        snapshots=Snapshots(run.recipe.spikes.rewind_steps),
        interventions=interventions,
        step=0,
        passed_over=[],
        objective=objective,
    )


def _loader(
    run: Run,
    interventions: Interventions,
    shards: dict[str, ShardSet],
    tokenizer: Tokenizer,
    objective: Objective | None,
) -> StagedLoader | ObjectiveLoader:
    if objective is None:
        return make_loader(run, interventions, shards, tokenizer)
    return ObjectiveLoader(objective, [*asked_ranges(run.recipe), *interventions.ranges])
