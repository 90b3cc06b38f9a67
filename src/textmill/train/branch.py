"""A run that leaves another at a checkpoint and decays from there: warmup-stable-decay's second half, at will.

One stable run gives finished models of any length (arXiv:2405.18392 §4), and data is tried by branching twice from one
step, with it and without it (arXiv:2502.02737 §3.1). Steps go on counting, and every source goes on where it was.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from textmill.base.errors import ConfigError
from textmill.base.files import new_folder, storage_errors
from textmill.checkpoint.store import list_checkpoints, load_checkpoint, step_of, verify_checkpoint
from textmill.data.pipeline import TokenizerTable
from textmill.train.corpus import TOKENIZER, is_shard_folder
from textmill.train.interventions import Interventions, load_interventions, save_interventions
from textmill.train.plan import Plan
from textmill.train.recipe import Recipe
from textmill.train.recipe_tables.data import SourceTable
from textmill.train.run import Run, load_run
from textmill.train.run_record import find_run
from textmill.train.schedule import first_decay_step


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that is left, the checkpoint where, and the batches that it had passed over by then."""

    run: Run
    checkpoint: Path
    step: int
    interventions: Interventions


def open_parent(recipe: Recipe) -> Parent | None:
    """Find what ``run.branch`` names; None where a recipe has none.

    Raises:
        ConfigError: there is no such checkpoint, or the learning rate was not at its peak there.
        DataError: there is no such run, or run or checkpoint are damaged.
    """
    if recipe.run.branch is None:
        return None
    match = re.fullmatch(r"(.+)@(\d+)", recipe.run.branch)
    if not match:
        raise ConfigError(f'"{recipe.run.branch}" is no branch; write RUN@STEP, as in runs/mine@2000')
    run, step = load_run(find_run(match[1])), int(match[2])
    folder = next((folder for folder in list_checkpoints(run.folder) if step_of(folder) == step), None)
    if folder is None:
        steps = ", ".join(f"{step_of(folder):,}" for folder in list_checkpoints(run.folder)) or "none"
        raise ConfigError(
            f"{run.folder} has no checkpoint of step {step:,}; it has: {steps}. More are kept with a larger "
            "checkpoint.keep"
        )
    _check_stable(run, step)
    verify_checkpoint(folder)
    num_skips = int(load_checkpoint(folder).state.get("num_skips", 0))
    known = load_interventions(run.folder)
    return Parent(run, folder, step, dataclasses.replace(known, skips=known.skips[:num_skips]))


def branch_recipe(recipe: Recipe, parent: Parent) -> Recipe:
    """Let a recipe take the tokenizer and the shards of the run it leaves; sources that are its own stay.

    What that run measured, precision and threads, is not measured again: two branches differ in what they are told.

    Raises:
        ConfigError: model, optimizer, batch or order of the data are not those of that run.
    """
    old = parent.run.recipe
    recipe = _as_derived(recipe, parent)
    for name in ("model", "optimizer", "batch"):
        if getattr(recipe, name) != getattr(old, name):
            raise ConfigError(
                f"[{name}] is not as in {parent.run.folder}, which the run branches from; leave it as it is"
            )
    if (recipe.run.seed, recipe.data.packing, recipe.data.document_masks, recipe.data.fim_rate) != (
        old.run.seed,
        old.data.packing,
        old.data.document_masks,
        old.data.fim_rate,
    ):
        raise ConfigError(
            f"run.seed and [data] must be as in {parent.run.folder}, which the run branches from: they say where each "
            "source goes on"
        )
    _check_step(recipe, parent)
    plan = parent.run.plan
    own = list(recipe.data.sources)
    sources = {name: _shared(parent, name, source) for name, source in recipe.data.sources.items()}
    for name, source in old.data.sources.items():
        sources.setdefault(name, _shared(parent, name, source))
    return dataclasses.replace(
        recipe,
        run=dataclasses.replace(
            recipe.run,
            precision=plan.precision if recipe.run.precision == "auto" else recipe.run.precision,
            threads=plan.threads if recipe.run.threads is None else recipe.run.threads,
        ),
        data=dataclasses.replace(recipe.data, sources=sources),
        stages=tuple(
            stage if stage.mixture else dataclasses.replace(stage, mixture=dict.fromkeys(own, 1.0))
            for stage in recipe.stages
        ),
        tokenizer=TokenizerTable(path=str((parent.run.folder / TOKENIZER).resolve())),
    )


def _as_derived(recipe: Recipe, parent: Parent) -> Recipe:
    """Take over what was derived for the run that is left: a branch derives nothing anew."""
    if not recipe.left_open:
        return recipe
    asked = parent.run.asked or {}
    params = (asked.get("model") or {}).get("params")
    if recipe.model.num_parameters not in (None, params):
        raise ConfigError(
            f"model.params is {recipe.model.num_parameters:,}, and {parent.run.folder}, which the run branches from, "
            f"was started with {'none' if params is None else f'{params:,}'}; leave it as it is"
        )
    if "budget.tokens" in recipe.left_open:
        raise ConfigError("the recipe does not say how long the branch is; set steps, tokens or minutes in [budget]")
    return recipe.settle({key: parent.run.recipe.value_of(key) for key in recipe.left_open})


def _check_step(recipe: Recipe, parent: Parent) -> None:
    plan = parent.run.plan
    tokens_per_step = recipe.batch.rows * recipe.stage.context
    if tokens_per_step != plan.tokens_per_step:
        raise ConfigError(
            f"a step has {tokens_per_step:,} tokens ({recipe.batch.rows:,} rows of {recipe.stage.context:,}), and in "
            f"{parent.run.folder} {plan.tokens_per_step:,}; set the context of the first stage to "
            f"{plan.stages[0].context:,}, as it is there"
        )


def branch_plan(plan: Plan, parent: Parent) -> Plan:
    """Put the steps that the run left had done before those of the branch."""
    before = [
        dataclasses.replace(stage, num_steps=min(stage.num_steps, parent.step - stage.first_step))
        for stage in parent.run.plan.stages
        if stage.first_step < parent.step
    ]
    after = [dataclasses.replace(stage, first_step=stage.first_step + parent.step) for stage in plan.stages]
    return dataclasses.replace(
        plan,
        stages=(*before, *after),
        compiled=parent.run.plan.compiled,  # it computes as the run it leaves
        start_step=parent.step,
        parent=str(parent.run.folder),
    )


def begin_branch(folder: Path, parent: Parent) -> None:
    """Take over the checkpoint, what is held out and what was passed over; files are linked where they can be."""
    with storage_errors(folder):
        for path in (parent.checkpoint, *sorted((parent.run.folder / "heldout").glob("*"))):
            place = folder / path.relative_to(parent.run.folder)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with new_folder(place) as unfinished:
                    shutil.copytree(path, unfinished, copy_function=_link, dirs_exist_ok=True)
    save_interventions(folder, parent.interventions)


def _check_stable(run: Run, step: int) -> None:
    schedule, plan = run.recipe.schedule, run.plan
    if schedule.kind != "wsd":
        raise ConfigError(
            f'{run.folder} has the schedule "{schedule.kind}", whose rate falls from the warmup on; branch from a run '
            'with schedule.kind = "wsd"'
        )
    last = plan.start_step if plan.parent is not None else first_decay_step(schedule, plan.num_steps)
    warmup = schedule.warmup_of(run.plan.num_steps)
    if not warmup <= step <= last:
        raise ConfigError(
            f"the learning rate of {run.folder} is at its peak from step {warmup:,} to {last:,}, and "
            f"not at step {step:,}; branch from a checkpoint between them, which more are kept of with "
            f"--set checkpoint.keep=N: textmill runs show {quote(str(run.folder))}"
        )


def _shared(parent: Parent, name: str, source: SourceTable) -> SourceTable:
    """The parent's shards of a source, where the two mean the same text."""
    if is_shard_folder(source) or parent.run.recipe.data.sources.get(name) != source:
        return source
    return dataclasses.replace(source, path=str((parent.run.folder / "shards" / name).resolve()), part=(0.0, 1.0))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
