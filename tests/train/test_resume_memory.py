"""Going on takes no more memory than having begun: a run that fitted once fits again."""

import signal

import pytest

from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from fakes import killed_run, warm_process
from textmill.base.events import read_events

# 11 million parameters: weights, moments, gradients and copies take half a gigabyte, far more than a process's own.
LARGE = (
    "model={ hidden_size = 512, intermediate_size = 1408, num_hidden_layers = 3, num_attention_heads = 8 }",
    "optimizer.kind=adamw",
    "checkpoint.every_steps=2",
    "eval.sample_tokens=0",
    "spikes.rewind_steps=1",
    "budget.steps=6",
)


def peaks(run, kind):
    """The process's peak at each step behind the last event of a kind, in bytes."""
    events = read_events(run / "events.jsonl")
    last = max(at for at, event in enumerate(events) if event.kind == kind)
    return [event.fields["memory_bytes"] for event in events[last:] if event.kind == "step"]


@pytest.mark.slow
def test_a_resumed_run_needs_no_more_memory_than_the_first(tmp_path):
    path = write_recipe(tmp_path / "whole")
    assert warm_process.finish(warm_process.start(killed_run.train, path, LARGE)) == 0
    whole = peaks(path.parent / "run", "start")
    path = write_recipe(tmp_path / "killed")
    killed = warm_process.start(killed_run.train, path, LARGE, "checkpoint:before-rename@2")
    assert warm_process.finish(killed) == -signal.SIGKILL
    assert warm_process.finish(warm_process.start(killed_run.train, path, LARGE)) == 0
    resumed = peaks(path.parent / "run", "resume")
    assert len(resumed) == 4
    assert whole[-1] > 400e6
    assert resumed[-1] <= 1.02 * whole[-1]
