"""A recipe: one complete run, as TOML. Every key is a field here; a key that is not is an error.

Relative paths in a recipe start at its own folder, ``run.dir`` at the working directory.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from textmill.base.config import NOT_A_KEY, apply_settings, from_table, parse_setting, read_toml, to_table
from textmill.base.errors import ConfigError, did_you_mean
from textmill.data.pipeline import TokenizerTable
from textmill.text.stdlib import is_stdlib
from textmill.train.recipe_tables.data import DataTable, StageTable
from textmill.train.recipe_tables.model import ARCHITECTURES, ModelTable
from textmill.train.recipe_tables.run import BudgetTable, CheckpointTable, EvalTable, RunTable
from textmill.train.recipe_tables.steps import BatchTable, OptimizerTable, ScheduleTable, SpikesTable
from textmill.train.recipe_tables.tune import TuneTable
from textmill.train.recipe_tables.tune_defaults import with_tuning_defaults
from textmill.train.run_record import RUNS, list_runs

SIZE_KEYS = (
    "model.hidden_size",
    "model.num_hidden_layers",
    "model.num_attention_heads",
    "model.num_key_value_heads",
    "model.head_dim",
    "model.intermediate_size",
    "model.tie_word_embeddings",
)
# What is derived where a recipe leaves width or depth out (textmill.train.dial).
DERIVED_KEYS = (*SIZE_KEYS, "batch.rows", "schedule.peak_lr", "schedule.warmup_steps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One complete run.

    ``left_open`` are the keys, as in ``batch.rows``, whose values are to be derived before the run is planned. What
    stands in their fields until then means nothing.
    """

    run: RunTable
    tokenizer: TokenizerTable | None = None
    model: ModelTable = field(default_factory=ModelTable)
    data: DataTable = field(default_factory=lambda: DataTable(sources={}))
    tune: TuneTable | None = None
    stages: tuple[StageTable, ...] = field(default_factory=lambda: (StageTable(),))
    batch: BatchTable = field(default_factory=BatchTable)
    schedule: ScheduleTable = field(default_factory=ScheduleTable)
    optimizer: OptimizerTable = field(default_factory=OptimizerTable)
    budget: BudgetTable = field(default_factory=BudgetTable)
    spikes: SpikesTable = field(default_factory=SpikesTable)
    checkpoint: CheckpointTable = field(default_factory=CheckpointTable)
    eval: EvalTable = field(default_factory=EvalTable)
    left_open: tuple[str, ...] = field(default=(), metadata=NOT_A_KEY)

    def __post_init__(self) -> None:
        if self.tune is not None:
            self._check_tune(self.tune)
            return
        if not self.data.sources:
            raise ConfigError("[data.sources] is empty; name at least one source")
        if not self.eval.holdout:
            raise ConfigError("eval.holdout is 0, and must be between 0 and 1, as in 0.05")
        if not self.stages:
            raise ConfigError("the recipe has no [[stages]]; leave the key out, or give one stage at least")
        if self.has_no_length and self.model.params is None and "budget.tokens" not in self.left_open:
            raise ConfigError("the recipe does not say how long to train; set steps, tokens or minutes in [budget]")
        for stage in self.stages:
            self._check_stage(stage)
        if self.tokenizer is None and self.model.from_ is None:
            raise ConfigError("[tokenizer] is missing; give it a path or a vocab_size, or start [model] from a model")

    def _check_tune(self, tune: TuneTable) -> None:
        """A model that is tuned has its tokenizer and sizes, and its data are those of ``[tune]``."""
        for name, is_given in (
            ("tokenizer", self.tokenizer is not None),
            ("model", self.model != ModelTable()),
            ("data", self.data != DataTable(sources={})),
            ("stages", self.stages != (StageTable(),)),
        ):
            if is_given:
                raise ConfigError(
                    f"the recipe has [{name}] and [tune]; a model that is tuned keeps its own, and learns from "
                    f"tune.data. Leave [{name}] out"
                )
        for key in _does_nothing_in_tuning(self):
            raise ConfigError(f"{key} is given, and does nothing where a model is tuned; leave it out")
        if (tune.epochs is None) == (self.budget == BudgetTable()):
            raise ConfigError(
                "the recipe must say once how long to tune: by tune.epochs, or by steps or minutes in [budget]"
            )
        if self.budget.tokens is not None:
            raise ConfigError("a budget of tokens is for pretraining; give steps or minutes, or tune.epochs")
        if self.budget.minutes is not None and (tune.rank is not None or tune.kind == "grpo"):
            what = "whose answers take most of its time" if tune.rank is None else "with adapters (tune.rank)"
            raise ConfigError(
                f"the budget is {self.budget.minutes:g} minutes, and steps of {tune.kind} {what} are not timed before "
                "they begin; give steps or epochs, as in --set budget.steps=100 or tune.epochs = 1"
            )
        if tune.rank is not None and self.optimizer.kind != "adamw":
            raise ConfigError('adapters (tune.rank) are learned by AdamW; leave optimizer.kind = "muon" out')
        if tune.kind == "grpo":
            # Its loss is about 0 however well it goes, so that nothing can be told from a jump.
            object.__setattr__(self, "spikes", dataclasses.replace(self.spikes, action="off"))
        if tune.answers is not None and self.batch.rows % tune.answers:
            raise ConfigError(
                f"batch.rows is {self.batch.rows}, the answers of a step, and there are tune.answers = {tune.answers} "
                "to each prompt: the one must be a multiple of the other"
            )

    def _check_stage(self, stage: StageTable) -> None:
        for name in stage.mixture:
            if name not in self.data.sources:
                known = ", ".join(self.data.sources)
                raise ConfigError(
                    f'the mixture names "{name}", which is no source{did_you_mean(name, self.data.sources)} '
                    f"The sources are: {known}"
                )
        if self.model.rope_theta is not None and stage.rope_theta not in (None, self.model.rope_theta):
            raise ConfigError(
                f'the stage "{stage.name}" has rope_theta = {stage.rope_theta:g}, and [model] has '
                f"{self.model.rope_theta:g}; leave one of them out"
            )

    @property
    def has_no_length(self) -> bool:
        """Whether neither the budget nor the stages say how long to train."""
        return self.budget == BudgetTable() and any(stage.tokens is None for stage in self.stages)

    @property
    def stage(self) -> StageTable:
        """The run's first stage, whose rows and context say how many tokens a step has."""
        return self.stages[0]

    @property
    def mixture(self) -> dict[str, float]:
        """A weight for each source in the first stage."""
        return self.mixture_of(self.stage)

    def mixture_of(self, stage: StageTable) -> dict[str, float]:
        """A weight for each source in a stage; sources weigh the same where the recipe does not say."""
        return stage.mixture or dict.fromkeys(self.data.sources, 1.0)

    def rope_theta_of(self, stage: StageTable) -> float:
        """RoPE's base in a stage."""
        return self.model.rope_theta or stage.rope_theta or 10_000.0

    def to_table(self) -> dict[str, Any]:
        """The recipe as JSON keeps it: every key, keys without a value and keys that are left open not among them."""
        table = _without_none(to_table(self))
        for key in self.left_open:
            name, field_name = key.split(".")
            table[name].pop(field_name, None)
        return table

    def value_of(self, key: str) -> Any:
        """The value of a key, as in ``batch.rows``."""
        table, name = key.split(".")
        return getattr(getattr(self, table), name)

    def settle(self, values: Mapping[str, Any]) -> Recipe:
        """Fill in values of keys that are left open; ``params`` has done its part once width or depth are among them.

        Raises:
            ConfigError: a value cannot stand beside the others.
        """
        tables: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            table, name = key.split(".")
            tables.setdefault(table, {})[name] = value
        if {"hidden_size", "num_hidden_layers"} & tables.get("model", {}).keys():
            tables["model"]["params"] = None
        return dataclasses.replace(
            self,
            **{table: dataclasses.replace(getattr(self, table), **given) for table, given in tables.items()},
            left_open=tuple(key for key in self.left_open if key not in values),
        )


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe and lay settings over it.

    Args:
        name: a TOML file, a run folder (its recipe again), or the name of a recipe that textmill brings along.
        settings: ``table.key=value``, whose relative paths start at the working directory; setting one budget unsets
            the others, and setting ``model.params`` or ``model.preset``, or a budget or ``tune.epochs``, unsets the
            other in the file.

    Raises:
        ConfigError: there is no such recipe, it is not TOML, or a key or value of it is wrong.
    """
    table = _absolute(*_read_table(str(name)))
    settings = list(settings)
    _unset_the_other_size(table, settings)
    _unset_the_other_length(table, settings)
    for setting in settings:
        parts, _ = parse_setting(setting)
        if parts[0] == "budget" and len(parts) == 2:
            table["budget"] = {}
        table = apply_settings(table, [setting])
    return _read(_absolute(table, Path.cwd()))


def _unset_the_other_size(table: dict[str, Any], settings: Iterable[str]) -> None:
    """A size that is set takes the place of the file's; of two that are set, both stay, and are refused."""
    model = table.get("model")
    if not isinstance(model, dict):
        return
    given = {tuple(parts): value for parts, value in map(parse_setting, settings)}
    if ("model", "params") in given and str(model.get("preset")) not in ARCHITECTURES:
        model.pop("preset", None)
    if str(given.get(("model", "preset"), "llama")) not in ARCHITECTURES:
        model.pop("params", None)


def _unset_the_other_length(table: dict[str, Any], settings: Iterable[str]) -> None:
    """A budget that is set takes the place of the file's epochs of tuning, and they that of its budget."""
    tune = table.get("tune")
    if not isinstance(tune, dict):
        return
    given = [parts for parts, _ in map(parse_setting, settings)]
    if any(parts[0] == "budget" for parts in given):
        tune.pop("epochs", None)
    if ["tune", "epochs"] in given:
        table.pop("budget", None)


def _does_nothing_in_tuning(recipe: Recipe) -> Iterator[str]:
    """Keys of other tables that a recipe gives beside ``[tune]`` in vain."""
    plain = EvalTable()
    for name in ("holdout_kind", "prompt", "sample_tokens"):
        if getattr(recipe.eval, name) != getattr(plain, name):
            yield f"eval.{name}"
    if recipe.optimizer.z_loss:
        yield "optimizer.z_loss"
    if recipe.run.branch is not None:
        yield "run.branch"


def _read(table: dict[str, Any]) -> Recipe:
    """Check a recipe's table, and mark what it leaves open."""
    if "tune" in table:
        return from_table(Recipe, with_tuning_defaults(table))
    if not from_table(ModelTable, table.get("model", {}), "model").leaves_size_open:
        return from_table(Recipe, table)
    recipe = from_table(Recipe, _with_rows(table))
    given = {f"{name}.{key}" for name, keys in table.items() if isinstance(keys, dict) for key in keys}
    left_open = [key for key in DERIVED_KEYS if key not in given]
    if recipe.has_no_length:
        left_open.append("budget.tokens")
    return dataclasses.replace(recipe, left_open=tuple(left_open))


def _with_rows(table: dict[str, Any]) -> dict[str, Any]:
    """Let rows that are to be derived be as many as go through at once, which always divide themselves."""
    batch = table.get("batch")
    if not isinstance(batch, dict) or "micro_rows" not in batch:
        return table
    return table | {"batch": {"rows": batch["micro_rows"]} | batch}


def recipe_names() -> list[str]:
    """List the recipes that textmill brings along."""
    return sorted(file.name.removesuffix(".toml") for file in _shipped().iterdir() if file.name.endswith(".toml"))


def _shipped() -> Any:
    return resources.files("textmill") / "recipes"


def _read_table(name: str) -> tuple[dict[str, Any], Path]:
    path = Path(name)
    if path.is_dir() and (path / "config.json").is_file():
        try:
            table = json.loads((path / "config.json").read_text())["recipe"]
            return table | {"run": {**table["run"], "dir": name}}, path
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path / 'config.json'} is not the configuration of a run: {error}") from error
    if path.is_file():
        return read_toml(path), path.resolve().parent
    shipped = _shipped() / f"{name.removesuffix('.toml')}.toml"
    if shipped.is_file():
        with resources.as_file(shipped) as file:
            return read_toml(file), Path.cwd()
    known = [*recipe_names(), *(str(run) for run in list_runs(RUNS))]
    raise ConfigError(
        f'there is no recipe "{name}"{did_you_mean(name, known)} Give a TOML file, a run folder, or one of: '
        f"{', '.join(recipe_names())}"
    )


def _absolute(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Let the paths of a recipe start at its own folder."""
    result = copy.deepcopy(table)
    tokenizer = result.get("tokenizer")
    if isinstance(tokenizer, dict) and isinstance(tokenizer.get("path"), str):
        tokenizer["path"] = str(folder / tokenizer["path"])
    data = result.get("data")
    sources = data.get("sources") if isinstance(data, dict) else None
    for source in sources.values() if isinstance(sources, dict) else ():
        path = source.get("path") if isinstance(source, dict) else None
        if isinstance(path, str) and not is_stdlib(path):
            source["path"] = str(folder / path)
    tune = result.get("tune")
    if isinstance(tune, dict):
        for key in ("data", "reward"):
            if isinstance(tune.get(key), str):
                tune[key] = str(folder / tune[key])
        if isinstance(tune.get("model"), str) and (folder / tune["model"]).exists():
            tune["model"] = str(folder / tune["model"])
    evaluation = result.get("eval")
    if isinstance(evaluation, dict) and isinstance(evaluation.get("data"), str):
        evaluation["data"] = str(folder / evaluation["data"])
    model = result.get("model")
    start = model.get("from") if isinstance(model, dict) else None
    if isinstance(model, dict) and isinstance(start, str) and (folder / start).exists():
        model["from"] = str(folder / start)
    return result


def _without_none(table: Any) -> Any:
    if isinstance(table, dict):
        return {key: _without_none(value) for key, value in table.items() if value is not None}
    if isinstance(table, list):
        return [_without_none(value) for value in table]
    return table
