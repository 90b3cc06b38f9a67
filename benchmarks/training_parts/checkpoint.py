"""What saving and resuming cost a run of SmolLM2-135M's sizes: weights and AdamW's moments in f32, 1.6 GB.

The trainer itself runs, on text of the standard library. It saves every six steps, and a save is whole within three of
them: the cost of a save is what the steps that hold it took longer than the mean of the three before and the three
after. Resuming is timed in a new process, from the call to the start of the first step, imports not counted; hashes are
checked, model and optimizer filled.
"""

from __future__ import annotations

import os
import signal
import statistics
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from data_speed import fresh_process
from textmill.base.errors import StoppedError
from textmill.base.events import Event, read_events
from textmill.checkpoint.store import list_checkpoints
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe
from training_parts.silent import Silent

THREADS = 2
HALF = 3
_RECIPE = """
[run]
dir = "{folder}"
precision = "f32"
[tokenizer]
vocab_size = 49152
[model]
preset = "smollm2-135m"
[data.sources.code]
path = "stdlib"
[[stages]]
context = 256
mixture = {{ code = 1.0 }}
[batch]
rows = 1
[schedule]
kind = "wsd"
peak_lr = 1e-4
warmup_steps = 2
[optimizer]
kind = "adamw"
[budget]
steps = 10000
[checkpoint]
every_steps = {every}
keep = 2
[eval]
every_steps = 10000
"""


def measure(rounds: int, folder: Path) -> dict[str, Any]:
    """Train with saves, then resume with files in memory and not.

    Returns:
        ``num_bytes`` of a checkpoint, and by round: ``step_s``, ``pause_s``, ``cost_s``, ``until_whole_s``,
        ``resume_s`` and ``resume_cold_s``.
    """
    run = fresh_process.call(prepared, folder)
    saving = fresh_process.call(save, run, rounds)
    resumed: dict[str, list[float]] = {"resume_s": [], "resume_cold_s": []}
    for _ in range(rounds):
        for path in list_checkpoints(run)[-1].iterdir():
            forget(path)
        resumed["resume_cold_s"].append(fresh_process.call(resume, run))
        resumed["resume_s"].append(fresh_process.call(resume, run))
    return {**saving, **resumed}


def prepared(folder: Path) -> Path:
    """Make corpus, tokenizer and shards, and stop at the first step."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.toml"
    recipe.write_text(_RECIPE.format(folder=folder / "run", every=2 * HALF))
    torch.set_num_threads(THREADS)
    _run_until(str(recipe), 1, resume=False)
    return folder / "run"


def save(run: Path, rounds: int) -> dict[str, Any]:
    """Train until so many saves have steps on both sides."""
    begin = len(read_events(run / "events.jsonl"))
    _run_until(str(run), 2 * HALF * (rounds + 1) + HALF, resume=True)
    events = read_events(run / "events.jsonl")[begin:]
    ended = {event.step: event.time_s for event in events if event.kind == "step"}
    saves = [event for event in events if event.kind == "checkpoint" and event.step % (2 * HALF) == 0][:rounds]
    steps = [after - before for before, after in pairwise(ended.values())]
    for event in saves:
        begin, end = ended[event.step], ended[event.step + HALF]
        if begin + event.fields["time_s"] > end:
            raise RuntimeError(
                f"the save of step {event.step} was whole after {event.fields['time_s']:.2f} s, and {HALF} steps took "
                f"{end - begin:.2f} s: what it costs is spread over more steps than are compared"
            )
    costs = []
    for event in (saved.step for saved in saves):
        before, with_save, after = (
            ended[event + (number + 1) * HALF] - ended[event + number * HALF] for number in (-1, 0, 1)
        )
        costs.append(with_save - (before + after) / 2)
    return {
        "num_bytes": saves[0].fields["num_bytes"],
        "step_s": [statistics.median(steps), min(steps), max(steps)],
        "pause_s": [event.fields["pause_s"] for event in saves],
        "cost_s": costs,
        "until_whole_s": [event.fields["time_s"] for event in saves],
    }


def resume(run: Path) -> float:
    """Seconds until the first step begins."""
    torch.set_num_threads(THREADS)
    first: list[float] = []

    def observe(event: Event) -> None:
        if event.kind == "step":
            first.append(time.perf_counter() - event.fields["tokens"] / event.step / event.fields["tokens_per_s"])
            raise _SeenError

    begin = time.perf_counter()
    try:
        run_recipe(load_recipe(str(run)), Silent(observe), resume=True)
    except _SeenError:
        return first[0] - begin
    raise AssertionError("the run took no step")


class _SeenError(Exception):
    """What was to be seen was."""


def _run_until(recipe: str, step: int, *, resume: bool) -> None:
    def observe(event: Event) -> None:
        if event.kind == "step" and event.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    try:
        run_recipe(load_recipe(recipe), Silent(observe), resume=resume)
    except StoppedError:
        return
    raise AssertionError("the run was not stopped")


def forget(path: Path) -> None:
    """Ask the system to drop a file from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
