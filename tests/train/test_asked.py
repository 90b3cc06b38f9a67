"""Batches that a run under way is told to pass over: the same bytes as if it had been told from the start."""

import os
import signal

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from textmill.base.errors import ConfigError, StoppedError  # noqa: E402
from textmill.base.events import read_events  # noqa: E402
from textmill.checkpoint.store import list_checkpoints, load_checkpoint  # noqa: E402
from textmill.train.interventions import load_interventions  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402

SETTINGS = ("budget.steps=30", "spikes.action=off", "eval.every_steps=100", "optimizer.kind=adamw")


class Said(Silent):
    """Keeps what is said, too."""

    def __init__(self, on_event=None):
        super().__init__(on_event)
        self.said = []

    def say(self, message):
        self.said.append(message)


def train(path, *settings, skip=(), resume=False, listener=None):
    return run_recipe(load_recipe(path, [*SETTINGS, *settings]), listener or Silent(), resume=resume, skip_steps=skip)


def stopped_at(path, step, *settings):
    def stop(event):
        if event.kind == "step" and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        train(path, *settings, listener=Silent(stop))


def state(run):
    checkpoint = load_checkpoint(list_checkpoints(run)[-1])
    assert checkpoint.step == 30
    return {**checkpoint.model, **checkpoint.optimizer}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The state of a run that was told in its recipe to pass over batches 12 and 13."""
    folder = tmp_path_factory.mktemp("told")
    train(write_recipe(folder), 'data.skip_steps=["12:14"]')
    return state(folder / "run")


@pytest.mark.parametrize("stop_at", [5, 11, 12])
def test_asked_before_it_comes_to_them(tmp_path, told, stop_at):
    path = write_recipe(tmp_path)
    stopped_at(path, stop_at)
    train(path, resume=True, skip=[(12, 14)])
    assert same(state(tmp_path / "run"), told)
    (event,) = [event for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "skip"]
    assert event.fields["skipped"] == [[12, 14]]


@pytest.mark.parametrize(("stop_at", "keep", "from_step"), [(13, 2, 10), (21, 2, 0), (21, 9, 10)])
def test_asked_after_it_learned_from_them_it_goes_back(tmp_path, told, stop_at, keep, from_step):
    """To the last checkpoint before; where none is left, to the beginning."""
    path = write_recipe(tmp_path)
    stopped_at(path, stop_at, f"checkpoint.keep={keep}")
    listener = Silent()
    train(path, f"checkpoint.keep={keep}", resume=True, skip=[(12, 14)], listener=listener)
    assert next(event.step for event in listener.events if event.kind in ("resume", "start")) == from_step
    assert same(state(tmp_path / "run"), told)


def test_asked_of_a_new_run(tmp_path, told):
    train(write_recipe(tmp_path), skip=[(12, 14)])
    assert same(state(tmp_path / "run"), told)


def test_what_is_passed_over_already_is_not_asked_for_again(tmp_path):
    path = write_recipe(tmp_path)
    stopped_at(path, 8, 'data.skip_steps=["12:14"]')
    listener = Said()
    stop = Silent(lambda event: os.kill(os.getpid(), signal.SIGTERM) if event.kind == "step" else None)
    with pytest.raises(StoppedError):
        train(path, 'data.skip_steps=["12:14"]', resume=True, skip=[(12, 13), (20, 22), (20, 21)], listener=stop)
    train(path, 'data.skip_steps=["12:14"]', resume=True, skip=[(20, 22)], listener=listener)
    assert load_interventions(tmp_path / "run").ranges == ((20, 22),)
    assert "batches 20 to 21 are passed over already" in listener.said


def test_a_batch_that_the_run_does_not_come_to_is_refused_and_nothing_changes(tmp_path):
    path = write_recipe(tmp_path)
    stopped_at(path, 8)
    with pytest.raises(ConfigError, match="does not come to batch 30: the last of its 30 steps sees batch 29"):
        train(path, resume=True, skip=[(30, 31)])
    assert load_interventions(tmp_path / "run").ranges == ()
