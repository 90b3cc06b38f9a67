"""A run's folder: what it was asked (``config.json``), what happened (``events.jsonl``), where it stands (checkpoints).

runs/NAME/
├── config.json          the recipe, and the plan that was decided before the first step
├── events.jsonl         one line for each thing that happened
├── tokenizer.json, tokenizer.report.json, shards/SOURCE, heldout/SOURCE
├── interventions.json   batches passed over and the like, where anything was decided on the way
├── packing/             packing tables that could not be kept beside their shards
├── inputs.json          of tuning: hashes of what it began with, and when
├── tokens/              of tuning: conversations or pairs in tokens, by a hash of all that they depend on
├── reference/           of preferences: log-probabilities under the model that tuning began from
├── rollouts/            of rewards: the answers of each step, and what they were worth
├── checkpoints/step-*/  each a model folder and the optimizer's state
├── base/                of a run that learned adapters for a model with an adapter: that model, merged
├── adapter/             of a run that learned adapters: these by themselves, in PEFT's format
├── model/               the finished model, a Hugging Face folder
└── report.html
"""

from __future__ import annotations

import json
import platform
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from textmill.base import units
from textmill.base.config import from_table, to_table
from textmill.base.errors import ConfigError, DataError
from textmill.base.files import storage_errors, write_file
from textmill.checkpoint.store import list_checkpoints, remove_left_overs
from textmill.train.dial.reasons import DerivedValue
from textmill.train.interventions import INTERVENTIONS
from textmill.train.plan import Plan
from textmill.train.recipe import Recipe
from textmill.train.run_record import CONFIG, EVENTS

FORMAT_VERSION = 3
_NAMES = frozenset(
    {
        CONFIG,
        EVENTS,
        "tokenizer.json",
        "tokenizer.report.json",
        "shards",
        "heldout",
        "packing",
        "reference",
        "rollouts",
        "tokens",
        "adapter",
        "base",
        "inputs.json",
        INTERVENTIONS,
        "checkpoints",
        "model",
        "report.html",
        "tensorboard",
        "wandb",
    }
)
_UNFINISHED = re.compile(r"\.(.+)\.[0-9a-f]{8}\.(?:tmp|old)")


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has been planned.

    Attributes:
        folder: where it is.
        recipe: what it does; nothing is left open in it.
        plan: what that means on the machine where it began.
        asked: the recipe as it was asked for, where it left something open, without what was derived.
        derived: what was derived, and why.
    """

    folder: Path
    recipe: Recipe
    plan: Plan
    asked: dict[str, Any] | None = None
    derived: tuple[DerivedValue, ...] = ()

    @property
    def resume_command(self) -> str:
        """What goes on with it."""
        return resume_command(self.folder, self.recipe)

    @property
    def events(self) -> Path:
        """The run's log."""
        return self.folder / EVENTS


def resume_command(folder: Path, recipe: Recipe) -> str:
    """What goes on with a recipe's run."""
    command = "train" if recipe.tune is None else f"tune {recipe.tune.kind}"
    return f"textmill {command} {quote(str(folder))} --resume"


def claim_folder(recipe: Recipe, *, resume: bool) -> Path:
    """Check that a run may take its folder: a new or empty one, one that a run never got far in, or one to resume.

    Raises:
        ConfigError: there is a run, and it is not to be resumed; or the folder holds something else.
    """
    folder = Path(recipe.run.dir)
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"run.dir {folder} is a file; choose another folder with --set run.dir=FOLDER")
    if folder.exists() and any(folder.iterdir()) and not _is_run(folder):
        raise ConfigError(
            f"{folder} is not empty and holds no run, and a run would write over what is there; "
            "choose another folder with --set run.dir=FOLDER"
        )
    for name, source in recipe.data.sources.items():
        if source.path is not None and Path(source.path).resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f'the source "{name}" lies inside run.dir {folder}; choose another folder for the run')
    num_saved = len(list_checkpoints(folder))
    if not resume and num_saved:
        raise ConfigError(
            f"{folder} holds a run that has saved {num_saved} {units.plural(num_saved, 'checkpoint')}; choose "
            f"another folder (--set run.dir=FOLDER), or go on with: {resume_command(folder, recipe)}"
        )
    return folder


def begin_folder(folder: Path) -> None:
    """Mark a folder as a run's, and clear away what one that never saved a checkpoint left in it."""
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EVENTS).write_bytes(b"")
    for name in (CONFIG, INTERVENTIONS):
        (folder / name).unlink(missing_ok=True)
    for part in ("shards", "heldout"):
        shutil.rmtree(folder / part, ignore_errors=True)


def _is_run(folder: Path) -> bool:
    """A run's folder has a log from its first moment on; until its plan is there too, nothing else may lie in it."""
    names = {path.name for path in folder.iterdir()}
    return EVENTS in names and (CONFIG in names or all(name in _NAMES or name.startswith(".") for name in names))


def save_run(run: Run) -> None:
    """Write ``config.json``, before the first step."""
    import numpy as np
    import torch  # a run is read back without it

    table = {
        "format_version": FORMAT_VERSION,
        "recipe": run.recipe.to_table(),
        **({} if run.asked is None else {"asked": run.asked, "derived": to_table(run.derived)}),
        "plan": to_table(run.plan),
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "machine": platform.machine(),
        },
    }
    write_file(run.folder / CONFIG, json.dumps(table, indent=2) + "\n")


def load_run(folder: Path) -> Run:
    """Read a run back from its ``config.json``.

    Raises:
        DataError: the folder holds no run, or its configuration is damaged.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise DataError(f"{folder} holds no run: {CONFIG} is missing")
    try:
        table = json.loads(path.read_text())
        if table["format_version"] == 1:
            table["plan"] = plan_of_format_1(table["plan"], table["recipe"])
        if table["format_version"] < 3:
            for recipe in filter(None, (table["recipe"], table.get("asked"))):
                join_betas(recipe)
        return Run(
            folder,
            from_table(Recipe, table["recipe"]),
            from_table(Plan, table["plan"]),
            table.get("asked"),
            tuple(from_table(DerivedValue, value) for value in table.get("derived", [])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is damaged: {error}; start the run again in another folder") from error


def plan_of_format_1(plan: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """Say a plan of one stage, as runs of format 1 have it, as a plan of stages."""
    own = ("rows", "micro_rows", "context", "num_steps")
    (stage,) = recipe["stages"]
    mixture = stage.get("mixture") or dict.fromkeys(recipe["data"]["sources"], 1.0)
    kept = {name: value for name, value in plan.items() if name not in own}
    first = {"name": stage.get("name", "stable"), "first_step": 0, "mixture": mixture}
    first |= {"rope_theta": plan["model"]["rope_theta"], **{name: plan[name] for name in own}}
    return {**kept, "stages": [first]}


def join_betas(recipe: dict[str, Any]) -> None:
    """Say AdamW's two numbers, which runs before format 3 have apart, as one pair."""
    optimizer = recipe.get("optimizer", {})
    if "beta1" in optimizer or "beta2" in optimizer:
        optimizer["betas"] = [optimizer.pop("beta1", 0.9), optimizer.pop("beta2", 0.95)]


def resumable(folder: Path, recipe: Recipe) -> Run | None:
    """Find the run that a resume goes on with, or None where none was decided yet.

    What was decided is kept even where no checkpoint was saved: precision and steps are measured once, and what a
    recipe leaves open is derived once.

    Raises:
        ConfigError: the recipe is not the one the run was started with.
        DataError: there are checkpoints, and all of them are damaged.
    """
    remove_left_overs(folder)
    _remove_unfinished(folder)
    if not (folder / CONFIG).is_file():
        return None
    run = load_run(folder)
    differences = [
        difference
        for difference in _differences(_table_of(run, recipe), recipe.to_table())
        if not difference.startswith(("run.dir ", "run.log_to "))  # a run may be moved, and watched otherwise
    ]
    if differences:
        raise ConfigError(
            f"{folder} was started with another recipe: {'; '.join(differences[:5])}. Resume with the recipe as it was "
            f"({resume_command(folder, run.recipe)}), or start another run with --set run.dir=FOLDER"
        )
    return run


def _table_of(run: Run, recipe: Recipe) -> dict[str, Any]:
    """The recipe that a run began with, to compare with one that may leave open what the run's left open."""
    return run.asked if recipe.left_open and run.asked is not None else run.recipe.to_table()


def _remove_unfinished(folder: Path) -> None:
    """Clear away the run's own files and folders that were being written when it was killed."""
    for path in folder.glob(".*"):
        match = _UNFINISHED.fullmatch(path.name)
        if match is None or match[1] not in _NAMES:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _differences(old: Any, new: Any, where: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            difference
            for key in sorted(set(old) | set(new))
            for difference in _differences(old.get(key), new.get(key), f"{where}.{key}" if where else key)
        ]
    return [] if old == new else [f"{where} was {old!r} and is {new!r}"]
