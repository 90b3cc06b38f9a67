"""A recipe: one complete run, as TOML. Every key is a field here; a key that is not is an error.

Relative paths in a recipe start at its own folder, ``run.dir`` at the working directory.
"""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from textmill.base.config import apply_settings, from_table, parse_setting, read_toml, to_table
from textmill.base.errors import ConfigError, did_you_mean
from textmill.text.stdlib import is_stdlib

BUDGETS = ("steps", "tokens", "minutes")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTable:
    """``[run]``: where the run lives, the seed everything random comes from, and what the machine is to do."""

    dir: str
    seed: int = 1
    precision: Literal["auto", "f32", "bf16"] = "auto"
    threads: int | None = None

    def __post_init__(self) -> None:
        if not self.dir:
            raise ConfigError('run.dir is empty; name a folder, as in "runs/mine"')
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"run.seed is {self.seed}, and must be 0 or more, below 2^63")
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise ConfigError(f"run.threads is {self.threads}, and must be 1 to 1024")


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerTable:
    """``[tokenizer]``: a file to load, or the size and pattern of one to train on the recipe's own sources."""

    path: str | None = None
    vocab_size: int | None = None
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.path is not None and self.pattern is not None:
            raise ConfigError("[tokenizer] has a path, and pattern is for one that is trained; leave one of them out")
        neither = self.path is None and self.vocab_size is None and self.pattern != "char"
        if neither or (self.path is not None and self.vocab_size is not None):
            raise ConfigError("[tokenizer] takes either path (load one) or vocab_size (train one)")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTable:
    """``[model]``: a preset, a model to start from, or every field by its Hugging Face name (laid over the preset)."""

    preset: str | None = None
    from_: str | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int | None = None
    rms_norm_eps: float | None = None
    rope_theta: float | None = None
    tie_word_embeddings: bool | None = None
    initializer_range: float | None = None

    def __post_init__(self) -> None:
        beside = [name for name in self.__slots__ if name != "from_" and getattr(self, name) is not None]
        if self.from_ is not None and beside:
            raise ConfigError(f"[model] starts from a model, whose sizes are its own; leave {', '.join(beside)} out")


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceTable:
    """``[data.sources.NAME]``: a folder of shards, text files, or ``stdlib``, ``stdlib:code``, ``stdlib:prose``.

    ``tokens`` in the place of a path is enough to plan a run, and not to train it.
    """

    path: str | None = None
    tokens: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataTable:
    """``[data]``: the sources by name."""

    sources: dict[str, SourceTable]

    def __post_init__(self) -> None:
        for name in self.sources:
            if name == "all" or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                raise ConfigError(
                    f'"{name}" cannot be the name of a source: it names folders too, so take letters, digits, '
                    '"_", "-" and "."; "all" is what they are together'
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTable:
    """``[[stages]]``: a stretch of the run with its own mixture and context."""

    name: str = "stable"
    tokens: int | None = None
    context: int = 512
    rope_theta: float | None = None
    mixture: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.context < 1:
            raise ConfigError(f"a stage's context is {self.context}, and must be 1 or more")
        if self.tokens is not None and self.tokens < 1:
            raise ConfigError(f"a stage's tokens are {self.tokens}, and must be 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTable:
    """``[batch]``: rows a step, and how many of them go through the model at once (derived where not given)."""

    rows: int = 16
    micro_rows: int | None = None

    def __post_init__(self) -> None:
        micro_rows = self.rows if self.micro_rows is None else self.micro_rows
        if self.rows < 1 or micro_rows < 1:
            raise ConfigError(f"[batch] has rows = {self.rows}, micro_rows = {micro_rows}; both must be 1 or more")
        if self.rows % micro_rows:
            raise ConfigError(
                f"[batch] rows = {self.rows} cannot be cut into parts of micro_rows = {micro_rows}; "
                "micro_rows must divide rows"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleTable:
    """``[schedule]``: linear warmup, a stable stretch, and a linear decay to 0 over the last part of the run."""

    kind: Literal["wsd"] = "wsd"
    peak_lr: float = 1e-3
    warmup_steps: int = 20
    decay_fraction: float = 0.4

    def __post_init__(self) -> None:
        if not 0 < self.peak_lr < math.inf:
            raise ConfigError(f"schedule.peak_lr is {self.peak_lr:g}, and must be above 0")
        if not 0 <= self.decay_fraction <= 1:
            raise ConfigError(f"schedule.decay_fraction is {self.decay_fraction:g}, and must be between 0 and 1")
        if self.warmup_steps < 0:
            raise ConfigError(f"schedule.warmup_steps is {self.warmup_steps}, and must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerTable:
    """``[optimizer]``: AdamW for everything, or Muon for the blocks' matrices and AdamW for the rest."""

    kind: Literal["adamw", "muon"] = "adamw"
    muon_lr: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("muon_lr", 0.0, math.inf),
            ("beta1", 0.0, 1.0),
            ("beta2", 0.0, 1.0),
            ("weight_decay", 0.0, math.inf),
        ):
            if not low <= getattr(self, name) < high:
                raise ConfigError(f"optimizer.{name} is {getattr(self, name):g}, and must be {low:g} to {high:g}")
        for name in ("eps", "clip_grad_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"optimizer.{name} is {getattr(self, name):g}, and must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetTable:
    """``[budget]``: how long to train, in one of three units; minutes become steps once, before step 1.

    A recipe without it trains for its stage's tokens.
    """

    steps: int | None = None
    tokens: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in BUDGETS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ConfigError(f"[budget] takes one of steps, tokens and minutes, and has {' and '.join(given)}")
        for name in given:
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"budget.{name} is {getattr(self, name)}, and must be above 0 and finite")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointTable:
    """``[checkpoint]``: how often to save, and how many to keep (the last one always stays)."""

    every_steps: int = 1000
    keep: int = 2

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.keep < 1:
            raise ConfigError("checkpoint.every_steps and checkpoint.keep must be 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvalTable:
    """``[eval]``: what is held out of training, and how often and on how much of it the run is validated."""

    every_steps: int = 100
    holdout: float = 0.05
    holdout_kind: Literal["auto", "documents", "tail"] = "auto"
    data: str | None = None
    max_tokens: int = 16_384

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.max_tokens < 1:
            raise ConfigError("eval.every_steps and eval.max_tokens must be 1 or more")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"eval.holdout is {self.holdout:g}, and must be between 0 and 1, as in 0.05")


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One complete run."""

    run: RunTable
    tokenizer: TokenizerTable | None = None
    model: ModelTable
    data: DataTable
    stages: tuple[StageTable, ...] = (StageTable(),)
    batch: BatchTable = BatchTable()
    schedule: ScheduleTable = ScheduleTable()
    optimizer: OptimizerTable = OptimizerTable()
    budget: BudgetTable = BudgetTable()
    checkpoint: CheckpointTable = CheckpointTable()
    eval: EvalTable = EvalTable()

    def __post_init__(self) -> None:
        if not self.data.sources:
            raise ConfigError("[data.sources] is empty; name at least one source")
        if len(self.stages) != 1:
            raise ConfigError(
                f"the recipe has {len(self.stages)} [[stages]], and this release trains one stage; run them one after "
                "another, each from the model of the one before (model.from)"
            )
        if self.budget == BudgetTable() and self.stage.tokens is None:
            raise ConfigError("the recipe does not say how long to train; set steps, tokens or minutes in [budget]")
        for name in self.stage.mixture:
            if name not in self.data.sources:
                known = ", ".join(self.data.sources)
                raise ConfigError(
                    f'the mixture names "{name}", which is no source{did_you_mean(name, self.data.sources)} '
                    f"The sources are: {known}"
                )
        if self.tokenizer is None and self.model.from_ is None:
            raise ConfigError("[tokenizer] is missing; give it a path or a vocab_size, or start [model] from a model")

    @property
    def stage(self) -> StageTable:
        """The run's stage."""
        return self.stages[0]

    @property
    def mixture(self) -> dict[str, float]:
        """A weight for each source; sources weigh the same where the recipe does not say."""
        return self.stage.mixture or dict.fromkeys(self.data.sources, 1.0)

    def to_table(self) -> dict[str, Any]:
        """The recipe as JSON keeps it: every key, keys without a value left out."""
        return _without_none(to_table(self))


def load_recipe(name: str | Path, settings: Iterable[str] = ()) -> Recipe:
    """Read a recipe and lay settings over it.

    Args:
        name: a TOML file, a run folder (its recipe again), or the name of a recipe that textmill brings along.
        settings: ``table.key=value``, whose relative paths start at the working directory; setting one budget unsets
            the others.

    Raises:
        ConfigError: there is no such recipe, it is not TOML, or a key or value of it is wrong.
    """
    table = _absolute(*_read_table(str(name)))
    for setting in settings:
        parts, _ = parse_setting(setting)
        if parts[0] == "budget" and len(parts) == 2:
            table["budget"] = {}
        table = apply_settings(table, [setting])
    return from_table(Recipe, _absolute(table, Path.cwd()))


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
    raise ConfigError(
        f'there is no recipe "{name}"{did_you_mean(name, recipe_names())} Give a TOML file, a run folder, or one of: '
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
