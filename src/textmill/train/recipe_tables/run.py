"""What a run is to be and to leave: ``[run]``, ``[budget]``, ``[checkpoint]``, ``[eval]``."""

from __future__ import annotations

import math
from dataclasses import dataclass
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

    Where a model is tuned nothing is held out (``holdout`` is 0) unless the recipe says so.

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
        if not 0 <= self.holdout < 1:
            raise ConfigError(f"eval.holdout is {self.holdout:g}, and must be between 0 and 1, as in 0.05")
