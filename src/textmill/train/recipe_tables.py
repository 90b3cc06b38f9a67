"""The tables of a recipe. Every key is a field here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Literal

from textmill.base.errors import ConfigError

BUDGETS = ("steps", "tokens", "minutes")


@dataclass(frozen=True, kw_only=True, slots=True)
class RunTable:
    """``[run]``: where the run lives, the seed everything random comes from, and what the machine is to do.

    Attributes:
        dir: the run's folder.
        seed: the first weights and the order of the data come from it.
        precision: of activations and products; ``auto`` is what a few timed steps show to be faster.
        threads: of torch; a run is exact for one number of them.
        remat: what is recomputed in the backward pass to save memory; ``auto`` is as little as fits.
        branch: ``RUN@STEP``: start from that checkpoint of a stable run, and decay to 0 from there on.
        log_to: where events go beside ``events.jsonl``: ``tensorboard``, ``wandb``, ``trackio``.
    """

    dir: str
    seed: int = 1
    precision: Literal["auto", "f32", "bf16"] = "auto"
    threads: int | None = None
    remat: Literal["auto", "none", "llama", "full"] = "auto"
    branch: str | None = None
    log_to: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()

    def __post_init__(self) -> None:
        if not self.dir:
            raise ConfigError('run.dir is empty; name a folder, as in "runs/mine"')
        if not 0 <= self.seed < 1 << 63:
            raise ConfigError(f"run.seed is {self.seed}, and must be 0 or more, below 2^63")
        if self.threads is not None and not 1 <= self.threads <= 1024:
            raise ConfigError(f"run.threads is {self.threads}, and must be 1 to 1024")


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

    Attributes:
        path: where it is; a source without one can be planned with, and not trained on.
        tokens: how many unique ones it has, for planning; a folder of shards says that itself.
        part: from and to, as shares of 1: of text files, the documents whose names hash into it. Sources with the
            same path and parts that do not overlap share no document.
        max_epochs: how often the whole run may read it before a plan is refused.
    """

    path: str | None = None
    tokens: int | None = None
    part: tuple[float, ...] = (0.0, 1.0)
    max_epochs: float = 5.0

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise ConfigError(f"a source's tokens are {self.tokens}, and must be 1 or more")
        if len(self.part) != 2 or not 0 <= self.part[0] < self.part[1] <= 1:
            raise ConfigError(f"a source's part is {list(self.part)}, and must be two shares of 1 as in [0.25, 0.5]")
        if not 0 < self.max_epochs < math.inf:
            raise ConfigError(f"a source's max_epochs is {self.max_epochs:g}, and must be above 0 and finite")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataTable:
    """``[data]``: the sources by name, and how their documents become rows.

    Attributes:
        sources: by name.
        packing: ``concat`` cuts the stream of documents into rows; ``best-fit`` cuts no document that a row holds.
        document_masks: documents of a row do not see one another, and each counts its positions from 0.
        fim_rate: the share of documents told out of order, for filling in the middle; needs ``best-fit`` and a
            tokenizer with ``<|fim_prefix|>``, ``<|fim_suffix|>`` and ``<|fim_middle|>``.
        skip_steps: batches that are passed over, as ``FIRST:END``, counted from 0, the end not in it.
    """

    sources: dict[str, SourceTable]
    packing: Literal["concat", "best-fit"] = "concat"
    document_masks: bool = False
    fim_rate: float = 0.0
    skip_steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.fim_rate <= 1:
            raise ConfigError(f"data.fim_rate is {self.fim_rate:g}, and must be 0 to 1")
        if self.fim_rate and self.packing != "best-fit":
            raise ConfigError(
                f'data.fim_rate is {self.fim_rate:g}, which needs packing = "best-fit": documents told out of order '
                "are longer, and only there is room for that"
            )
        for text in self.skip_steps:
            parse_range(text)
        for name in self.sources:
            if name == "all" or not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
                raise ConfigError(
                    f'"{name}" cannot be the name of a source: it names folders too, so take letters, digits, '
                    '"_", "-" and "."; "all" is what they are together'
                )


def parse_range(text: str) -> tuple[int, int]:
    """Read ``FIRST:END``, the end not in it.

    Raises:
        ConfigError: it is no range, or an empty one.
    """
    match = re.fullmatch(r"(\d{1,15}):(\d{1,15})", text)
    if not match or int(match[1]) >= int(match[2]):
        raise ConfigError(f'"{text}" is no range of steps; write FIRST:END, the end not in it, as in 1000:1020')
    return int(match[1]), int(match[2])


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTable:
    """``[[stages]]``: a stretch of the run with its own mixture and context.

    Attributes:
        name: what it is called.
        tokens: how long it is; one stage may leave it out, and takes what the others leave of the budget.
        context: tokens in a row.
        rope_theta: RoPE's base; 10,000 where nothing says otherwise.
        mixture: a weight for each source; all of them weigh the same where it is left out.
        note: what a plan says of it.
    """

    name: str = "stable"
    tokens: int | None = None
    context: int = 512
    rope_theta: float | None = None
    mixture: dict[str, float] = field(default_factory=dict)
    note: str | None = None

    def __post_init__(self) -> None:
        if self.context < 1:
            raise ConfigError(f"a stage's context is {self.context}, and must be 1 or more")
        if self.tokens is not None and self.tokens < 1:
            raise ConfigError(f"a stage's tokens are {self.tokens}, and must be 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTable:
    """``[batch]``: rows a step, and how many of them go through the model at once (derived where not given).

    ``rows`` are of the first stage. A stage with another context has as many as make the same number of tokens.
    """

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
    """``[schedule]``: linear warmup, then what ``kind`` says. Keys of the other kind are refused.

    Attributes:
        kind: ``wsd`` is a stable stretch and a decay to 0 over the last part of the run; ``cosine`` is half a cosine
            from the warmup to the end.
        peak_lr: the learning rate between warmup and decay.
        warmup_steps: steps of linear warmup.
        decay_fraction: of ``wsd``: the part of the run that decays (0.4 unless given).
        decay: of ``wsd``: the decay's shape (``linear`` unless given).
        min_lr_ratio: of ``cosine``: where it ends, as a share of the peak (0.1 unless given).
    """

    kind: Literal["wsd", "cosine"] = "wsd"
    peak_lr: float = 1e-3
    warmup_steps: int = 20
    decay_fraction: float | None = None
    decay: Literal["linear", "1-sqrt"] | None = None
    min_lr_ratio: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.peak_lr < math.inf:
            raise ConfigError(f"schedule.peak_lr is {self.peak_lr:g}, and must be above 0")
        if self.warmup_steps < 0:
            raise ConfigError(f"schedule.warmup_steps is {self.warmup_steps}, and must be 0 or more")
        defaults = _SCHEDULE_DEFAULTS[self.kind]
        for name in ("decay_fraction", "decay", "min_lr_ratio"):
            value = getattr(self, name)
            if value is not None and name not in defaults:
                raise ConfigError(f'schedule.{name} is given, and kind = "{self.kind}" has none; leave it out')
            if value is None and name in defaults:
                object.__setattr__(self, name, defaults[name])
            elif isinstance(value, float) and not 0 <= value <= 1:
                raise ConfigError(f"schedule.{name} is {value:g}, and must be between 0 and 1")


_SCHEDULE_DEFAULTS: dict[str, dict[str, float | str]] = {
    "wsd": {"decay_fraction": 0.4, "decay": "linear"},
    "cosine": {"min_lr_ratio": 0.1},
}


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
class SpikesTable:
    """``[spikes]``: what a run does when the loss or the gradient's norm jumps.

    Attributes:
        action: ``rewind`` goes back some steps and passes over the batches since; ``off`` lets jumps be. Values that
            are not finite never reach the weights, whatever stands here.
        threshold: how many times the usual deviation above the median of the last ``window`` steps is a jump. The
            deviation is 1.4826 times the median absolute one, which is the standard deviation of normal values.
        window: steps that are compared with; none are judged before it is half full.
        rewind_steps: a rewind goes back at least so many steps, and at most twice as many.
    """

    action: Literal["rewind", "off"] = "rewind"
    threshold: float = 10.0
    window: int = 64
    rewind_steps: int = 16

    def __post_init__(self) -> None:
        if not 3 <= self.threshold < math.inf:
            raise ConfigError(f"spikes.threshold is {self.threshold:g}, and must be 3 or more: less is noise")
        if self.window < 8 or self.rewind_steps < 1:
            raise ConfigError(
                f"[spikes] has window = {self.window}, rewind_steps = {self.rewind_steps}; "
                "they must be 8 and 1 at least"
            )


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
    """``[eval]``: what is held out of training, and how often and on how much of it the run is validated.

    ``sample_tokens`` are generated each time as well, after ``prompt`` (by default the beginning of a held-out text);
    0 for none.
    """

    every_steps: int = 100
    holdout: float = 0.05
    holdout_kind: Literal["auto", "documents", "tail"] = "auto"
    data: str | None = None
    max_tokens: int = 16_384
    prompt: str | None = None
    sample_tokens: int = 32

    def __post_init__(self) -> None:
        if self.every_steps < 1 or self.max_tokens < 1:
            raise ConfigError("eval.every_steps and eval.max_tokens must be 1 or more")
        if self.sample_tokens < 0:
            raise ConfigError(f"eval.sample_tokens is {self.sample_tokens}, and must be 0 or more")
        if not 0 < self.holdout < 1:
            raise ConfigError(f"eval.holdout is {self.holdout:g}, and must be between 0 and 1, as in 0.05")
