"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from textmill.train.recipe_tables import ScheduleTable


def learning_rate_factor(schedule: ScheduleTable, step: int, num_steps: int) -> float:
    """Tell the share of the peak learning rate that a step takes: linear warmup, then what the schedule's kind says.

    Args:
        schedule: warmup in steps, and how it goes down.
        step: counted from 0.
        num_steps: steps of the whole run.
    """
    warmup = min(1.0, (step + 1) / (schedule.warmup_steps + 1))
    if schedule.kind == "cosine":
        return min(warmup, _cosine(schedule, step, num_steps))
    return max(0.0, min(warmup, _decay(schedule, step, num_steps)))


def _decay(schedule: ScheduleTable, step: int, num_steps: int) -> float:
    """1 or more before the decay; the decay reaches 0 one step after the last (arXiv:2502.02737 §4.1).

    ``1-sqrt`` falls faster at first, as 1 minus the root of the decay's progress (arXiv:2405.18392).
    """
    assert schedule.decay_fraction is not None
    decay_steps = round(schedule.decay_fraction * num_steps)
    linear = (num_steps - step) / (decay_steps + 1)
    return 1 - math.sqrt(max(0.0, 1 - linear)) if schedule.decay == "1-sqrt" else linear


def _cosine(schedule: ScheduleTable, step: int, num_steps: int) -> float:
    """Half a cosine from 1, where the warmup ends, to ``min_lr_ratio`` at the last step (arXiv:2302.13971 §2.3)."""
    assert schedule.min_lr_ratio is not None
    progress = (step - schedule.warmup_steps) / max(1, num_steps - 1 - schedule.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
    return schedule.min_lr_ratio + (1 - schedule.min_lr_ratio) * cosine
