"""The learning rate as a pure function of the step."""

from __future__ import annotations

from textmill.train.recipe import ScheduleTable


def learning_rate_factor(schedule: ScheduleTable, step: int, num_steps: int) -> float:
    """Tell the share of the peak learning rate that a step takes: warmup, stable, linear decay to 0.

    Args:
        schedule: warmup in steps, decay as a share of the run.
        step: counted from 0.
        num_steps: steps of the whole run.

    Source: arXiv:2502.02737 §4.1 (warmup-stable-decay); the decay reaches 0 one step after the last.
    """
    decay_steps = round(schedule.decay_fraction * num_steps)
    warmup = (step + 1) / (schedule.warmup_steps + 1)
    decay = (num_steps - step) / (decay_steps + 1)
    return max(0.0, min(1.0, warmup, decay))
