"""Batches that somebody asks a run to pass over once it is under way: a decision like those the run makes itself."""

from __future__ import annotations

import contextlib
from bisect import bisect_left
from collections.abc import Callable, Sequence

from textmill.base.errors import ConfigError
from textmill.base.events import EventLog
from textmill.data.stages import SkippedSteps
from textmill.train.interventions import Skip, load_interventions, save_interventions
from textmill.train.run import Run
from textmill.train.run_loader import asked_ranges


def ask_to_skip(run: Run, ranges: Sequence[tuple[int, int]], say: Callable[[str], None]) -> None:
    """Write down that no step of a run is to see these batches; it must not be training.

    Where the run has learned from one of them already, it will go back to its last checkpoint before, so that it ends
    in the bytes of a run that was told from the start. What is passed over already is not asked for again.

    Args:
        run: planned, or stopped and about to be resumed.
        ranges: (first, end) of data steps, counted from 0, the end not in it.
        say: told what will happen.

    Raises:
        ConfigError: the run comes to none of these batches, or saw them before it left another run.
    """
    interventions = load_interventions(run.folder)
    for first, end in ranges:
        skipped = SkippedSteps((*asked_ranges(run.recipe), *interventions.ranges))
        back_to = bisect_left(range(run.plan.num_steps), first, key=skipped.data_step)
        following = skipped.data_step(back_to)
        if back_to == run.plan.num_steps:
            raise ConfigError(
                f"{run.folder} does not come to batch {first}: the last of its {run.plan.num_steps} steps sees batch "
                f"{skipped.data_step(back_to - 1)}, counted from 0"
            )
        if back_to < run.plan.start_step:
            raise ConfigError(
                f"batch {first} was seen before step {run.plan.start_step}, where {run.folder} left {run.plan.parent}; "
                "ask for it where that run is resumed, and branch again"
            )
        if following >= end:
            say(f"{_named(first, end)} passed over already")
            continue
        interventions = interventions.with_skip(Skip(first=first, end=end, back_to=back_to, reason="asked"))
        save_interventions(run.folder, interventions)
        with contextlib.closing(EventLog(run.events)) as log:
            log.write("skip", back_to, skipped=[[first, end]])
        say(f"{_named(first, end)} passed over from step {back_to + 1} on, as asked")


def _named(first: int, end: int) -> str:
    return f"batch {first} is" if end == first + 1 else f"batches {first} to {end - 1} are"
