"""What a run will do, decided once before its first step and read back on resume. Plain data; nothing here needs torch.

The recipe says what is wanted; the plan says what that means on this machine: the model's sizes, the precision that is
faster, how many rows go through at once, and how many steps there are.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from textmill.model.config import ModelConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainStage:
    """A stretch of the run.

    Attributes:
        name: as in the recipe.
        first_step: counted from 0 over the whole run.
        num_steps: optimizer steps.
        context: tokens in a row.
        rows: rows of a step; ``micro_rows`` of them go through the model at once.
        rope_theta: RoPE's base.
        mixture: a weight for each source.
    """

    name: str
    first_step: int
    num_steps: int
    context: int
    rows: int
    micro_rows: int
    rope_theta: float
    mixture: dict[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The decisions of a run.

    Attributes:
        model: the model's sizes, as they are at the run's end.
        stages: in the order they come; those of a branch begin with what the run it leaves had done.
        precision: of activations and products.
        remat: what is recomputed in the backward pass.
        threads: threads of torch; results are exact for one number of them.
        step_time_s: what a step of the first stage took when it was measured, or None where nothing was.
        predicted_bytes: what the training holds at its peak, by the formula, or None where there is none.
        predicted_host_bytes: what it keeps in the memory of a host of GPUs beside that, by the formula.
        peak_flops_per_s: of this machine, or of its GPU, in ``precision``; see ``precision.peak_flops_per_s``.
        compiled: whether blocks are compiled, because a probe said that it pays.
        start_step: steps that were done elsewhere, in the run that this one branches from; 0 where it does not.
        parent: the folder of that run.
        learned_parameters: numbers that are learned, where they are not the model's own: those of adapters.
    """

    model: ModelConfig
    stages: tuple[TrainStage, ...]
    precision: Literal["f32", "bf16"]
    remat: Literal["none", "llama", "full"] = "none"
    threads: int
    step_time_s: float | None = None
    predicted_bytes: int | None = None
    predicted_host_bytes: int | None = None
    peak_flops_per_s: float | None = None
    compiled: bool = False
    start_step: int = 0
    parent: str | None = None
    learned_parameters: int | None = None

    @property
    def num_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.stages[-1].first_step + self.stages[-1].num_steps

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one optimizer step, the same in every stage."""
        return self.stages[0].rows * self.stages[0].context

    @property
    def context(self) -> int:
        """The longest context of the stages."""
        return max(stage.context for stage in self.stages)

    def stage_of(self, step: int) -> TrainStage:
        """Find the stage of a step, counted from 0; the last one's from the run's end on."""
        return next((s for s in self.stages if step < s.first_step + s.num_steps), self.stages[-1])

    def model_in(self, stage: TrainStage) -> ModelConfig:
        """The model's sizes in a stage: RoPE's base is the stage's own."""
        if stage.rope_theta == self.model.rope_theta:
            return self.model
        return dataclasses.replace(self.model, rope_theta=stage.rope_theta)
