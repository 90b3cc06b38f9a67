"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

from textmill.train.recipe_tables.steps import ScheduleTable


def learning_rate_factor(schedule: ScheduleTable, step: int, num_steps: int, branched_at: int | None = None) -> float:
    """Tell the share of the peak learning rate that a step takes: linear warmup, then what the schedule's kind says.

    Args:
        schedule: its warmup, and how it goes down.
        step: counted from 0.
        num_steps: steps of the whole run.
        branched_at: steps done before a branch left a stable run: all that follow decay. None is no branch.
    """
    warmup = min(1.0, (step + 1) / (schedule.warmup_of(num_steps) + 1))
    if schedule.kind == "cosine":
        return min(warmup, _cosine(schedule, step, num_steps))
    assert schedule.decay_fraction is not None
    decay_steps = round(schedule.decay_fraction * num_steps) if branched_at is None else num_steps - branched_at
    return max(0.0, min(warmup, _decay(schedule, step, num_steps, decay_steps)))


def first_decay_step(schedule: ScheduleTable, num_steps: int) -> int:
    """The first step, counted from 0, whose learning rate is below the peak for good."""
    if schedule.kind == "cosine":
        return min(schedule.warmup_of(num_steps), num_steps)
    assert schedule.decay_fraction is not None
    return num_steps - round(schedule.decay_fraction * num_steps)


def _decay(schedule: ScheduleTable, step: int, num_steps: int, decay_steps: int) -> float:
    """1 or more before the decay; the decay reaches 0 one step after the last (arXiv:2502.02737 §4.1).

    ``1-sqrt`` falls faster at first, as 1 minus the root of the decay's progress (arXiv:2405.18392).
    """
    linear = (num_steps - step) / (decay_steps + 1)
    return 1 - math.sqrt(max(0.0, 1 - linear)) if schedule.decay == "1-sqrt" else linear


def _cosine(schedule: ScheduleTable, step: int, num_steps: int) -> float:
    """Half a cosine from 1, where the warmup ends, to ``min_lr_ratio`` at the last step (arXiv:2302.13971 §2.3)."""
    assert schedule.min_lr_ratio is not None
    warmup = schedule.warmup_of(num_steps)
    progress = (step - warmup) / max(1, num_steps - 1 - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, progress))))
    return schedule.min_lr_ratio + (1 - schedule.min_lr_ratio) * cosine
