"""What a step does: ``[batch]``, ``[schedule]``, ``[optimizer]``, ``[spikes]``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from textmill.base.errors import ConfigError


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
        warmup_fraction: the same as a share of the run; it takes the place of ``warmup_steps``.
        decay_fraction: of ``wsd``: the part of the run that decays (0.4 unless given).
        decay: of ``wsd``: the decay's shape (``linear`` unless given).
        min_lr_ratio: of ``cosine``: where it ends, as a share of the peak (0.1 unless given).
    """

    kind: Literal["wsd", "cosine"] = "wsd"
    peak_lr: float = 1e-3
    warmup_steps: int = 20
    warmup_fraction: float | None = None
    decay_fraction: float | None = None
    decay: Literal["linear", "1-sqrt"] | None = None
    min_lr_ratio: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.peak_lr < math.inf:
            raise ConfigError(f"schedule.peak_lr is {self.peak_lr:g}, and must be above 0")
        if self.warmup_steps < 0:
            raise ConfigError(f"schedule.warmup_steps is {self.warmup_steps}, and must be 0 or more")
        if self.warmup_fraction is not None and not 0 <= self.warmup_fraction <= 1:
            raise ConfigError(f"schedule.warmup_fraction is {self.warmup_fraction:g}, and must be between 0 and 1")
        defaults = _SCHEDULE_DEFAULTS[self.kind]
        for name in ("decay_fraction", "decay", "min_lr_ratio"):
            value = getattr(self, name)
            if value is not None and name not in defaults:
                raise ConfigError(f'schedule.{name} is given, and kind = "{self.kind}" has none; leave it out')
            if value is None and name in defaults:
                object.__setattr__(self, name, defaults[name])
            elif isinstance(value, float) and not 0 <= value <= 1:
                raise ConfigError(f"schedule.{name} is {value:g}, and must be between 0 and 1")

    def warmup_of(self, num_steps: int) -> int:
        """Steps of warmup in a run of so many."""
        return self.warmup_steps if self.warmup_fraction is None else round(self.warmup_fraction * num_steps)


_SCHEDULE_DEFAULTS: dict[str, dict[str, float | str]] = {
    "wsd": {"decay_fraction": 0.4, "decay": "linear"},
    "cosine": {"min_lr_ratio": 0.1},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerTable:
    """``[optimizer]``: AdamW for everything, or Muon for the blocks' matrices and AdamW for the rest.

    Attributes:
        betas: of AdamW: how much of the gradient's mean and of its square's a step keeps.
        weight_decay: of matrices; norms, biases and tables that tokens look rows up in do not decay.
        ema_decay: how much of the weights' moving average a step keeps, 0.999 for one; 0 keeps no average. It is what
            is validated, sampled from and left as the finished model.
        z_loss: the coefficient of the squared logarithm of the softmax's normaliser, 1e-4 for one; 0 is none.
    """

    kind: Literal["adamw", "muon"] = "adamw"
    muon_lr: float = 0.02
    betas: tuple[float, ...] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    clip_grad_norm: float = 1.0
    ema_decay: float = 0.0
    z_loss: float = 0.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("muon_lr", 0.0, math.inf),
            ("ema_decay", 0.0, 1.0),
            ("z_loss", 0.0, 1.0),
            ("weight_decay", 0.0, math.inf),
        ):
            if not low <= getattr(self, name) < high:
                raise ConfigError(f"optimizer.{name} is {getattr(self, name):g}, and must be {low:g} to {high:g}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(
                f"optimizer.betas is {list(self.betas)}, and must be two numbers from 0 to below 1, as in [0.9, 0.95]"
            )
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
