"""Jumps of loss and gradient: judged by what came before, undone, passed over, and remembered through a resume."""

import json
import math
import os
import signal

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe
from textmill.train.recipe_tables.steps import SpikesTable
from textmill.train.spikes import SpikeWatch

torch = pytest.importorskip("torch")

from fakes.poison import foreign_targets, poison, random_bytes  # noqa: E402
from textmill.base.errors import StoppedError, TextmillError  # noqa: E402
from textmill.base.events import read_events  # noqa: E402
from textmill.checkpoint.store import list_checkpoints, load_checkpoint, step_of  # noqa: E402
from textmill.train import loop  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402

SETTINGS = (
    "budget.steps=80",
    "spikes.window=32",
    "spikes.rewind_steps=4",
    "eval.every_steps=100",
    "optimizer.kind=adamw",
)
# Batches of random bytes in a row: 5, or as many as are asked for.
POISON = int(os.environ.get("TEXTMILL_POISON_BATCHES", "5"))


def watch(**settings):
    made = SpikeWatch(SpikesTable(**{"window": 16, **settings}))
    made.enter("a")
    return made


def test_noise_is_fine_and_a_jump_is_not():
    judged, random = watch(), np.random.default_rng(0)
    for value in random.normal(3, 0.1, 200):
        assert judged.judge(value, 1.0) == "fine"
        judged.add(value, 1.0)
    assert judged.judge(6.0, 1.0) == "spike"
    assert judged.judge(3.0, 9.0) == "spike"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_seen_from_the_first_step_on_and_with_action_off(value):
    assert watch(action="off").judge(value, 1.0) == "not finite"
    assert watch().judge(1.0, value) == "not finite"


def test_nothing_is_judged_before_there_is_something_to_compare_with():
    judged = watch()
    for _ in range(7):
        judged.add(1.0, 1.0)
    assert judged.judge(1e9, 1e9) == "fine"
    judged.add(1.0, 1.0)
    assert judged.judge(1e9, 1e9) == "spike"


def test_norms_that_rose_are_judged_by_those_that_come():
    judged = watch()
    for _ in range(16):
        judged.add(1.0, 1.0)
    for value in [3.0] * 8:
        if judged.judge(1.0, value) == "spike":
            judged.forget_norms()
        assert judged.judge(1.0, value) == "fine"
        assert judged.judge(9.0, value) == "spike"  # losses are remembered
        judged.add(1.0, value)
    assert judged.judge(1.0, 9.0) == "spike"


def test_another_stage_begins_anew():
    judged = watch()
    for _ in range(16):
        judged.add(1.0, 1.0)
    judged.enter("b")
    assert judged.judge(9.0, 9.0) == "fine"


def test_its_memory_comes_back_from_json():
    judged, again = watch(), watch()
    for value in np.random.default_rng(1).normal(3, 1, 30).tolist():
        judged.add(value, 1 / value)
    again.load_state(json.loads(json.dumps(judged.state())))
    assert again.limits() == judged.limits()


def train(path, *settings, listener=None, resume=False):
    return run_recipe(load_recipe(path, [*SETTINGS, *settings]), listener or Silent(), resume=resume)


def train_with_a_stop(path, kind):
    """Stopped by a signal at an event of the kind, and resumed."""

    def stop(event):
        if event.kind == kind:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        train(path, listener=Silent(stop))
    train(path, resume=True)


def state(run):
    checkpoint = load_checkpoint(list_checkpoints(run)[-1])
    return {**checkpoint.model, **checkpoint.optimizer}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def events(run, kind):
    return [event for event in read_events(run / "events.jsonl") if event.kind == kind]


def last_bits(run):
    return events(run, "eval")[-1].fields["bits_per_byte"]["all"]


def test_a_run_recovers_from_a_poison_batch(tmp_path, monkeypatch):
    """It goes back, passes over the batches since, and ends no more than 1 % above the clean run."""
    train(write_recipe(tmp_path / "clean"))
    poison(monkeypatch, {60}, foreign_targets)
    train(write_recipe(tmp_path / "spoilt"))
    run = tmp_path / "spoilt" / "run"
    (spike,) = events(run, "spike")
    first, end = spike.fields["skipped"][0]
    assert first == spike.fields["rewind_to"] == 56
    assert end == 61
    assert spike.fields["documents"]
    assert last_bits(run) <= 1.01 * last_bits(tmp_path / "clean" / "run")


@pytest.mark.timeout(1200)
def test_batches_of_random_bytes_in_a_row_leave_no_trace(tmp_path, monkeypatch):
    """One rewind, then twice as many passed over each time: the bytes of a run that was told of all of them."""
    steps = f"budget.steps={80 + POISON}"
    bad = range(60, 60 + POISON)
    poison(monkeypatch, bad, random_bytes)
    train(write_recipe(tmp_path / "spoilt"), steps)
    skipped = [tuple(event.fields["skipped"][0]) for event in events(tmp_path / "spoilt" / "run", "spike")]
    assert skipped[0] == (56, 61)
    assert set(bad) <= {step for first, end in skipped for step in range(first, end)}
    assert sum(end - first for first, end in skipped) <= 5 + 2 * POISON
    told = ", ".join(f'"{first}:{end}"' for first, end in skipped)
    train(write_recipe(tmp_path / "told"), steps, f"data.skip_steps=[{told}]")
    assert same(state(tmp_path / "told" / "run"), state(tmp_path / "spoilt" / "run"))


@pytest.mark.skipif(POISON < 50, reason="minutes: TEXTMILL_POISON_BATCHES=50 runs it")
@pytest.mark.timeout(1200)
def test_a_run_recovers_from_batches_of_random_bytes(tmp_path, monkeypatch):
    """Within 1 % of the clean run, or better, in the mean of four seeds: other batches alone make 3 % either way."""
    bits = {}
    for spoilt in (False, True):
        if spoilt:
            poison(monkeypatch, range(60, 60 + POISON), random_bytes)
        for seed in range(1, 5):
            path = write_recipe(tmp_path / f"{spoilt} {seed}")
            train(path, "budget.steps=300", "batch={ rows = 16 }", f"run.seed={seed}")
            bits.setdefault(spoilt, []).append(last_bits(path.parent / "run"))
    assert np.mean(bits[True]) <= 1.01 * np.mean(bits[False])


def test_without_the_guard_the_same_batch_does_harm(tmp_path, monkeypatch):
    """So the test above shows something."""
    poison(monkeypatch, {60}, foreign_targets)
    train(write_recipe(tmp_path), "spikes.action=off")
    assert not events(tmp_path / "run", "spike")
    assert max(event.fields["loss"] for event in events(tmp_path / "run", "step")[59:]) > 5


def test_a_rewind_is_the_run_that_never_saw_those_batches(tmp_path, monkeypatch):
    """The same bytes as a run that was told beforehand to pass over them."""
    train(write_recipe(tmp_path / "told"), 'data.skip_steps=["56:61"]')
    poison(monkeypatch, {60}, foreign_targets)
    train(write_recipe(tmp_path / "spoilt"))
    assert same(state(tmp_path / "told" / "run"), state(tmp_path / "spoilt" / "run"))


def test_decisions_outlive_a_stop(tmp_path, monkeypatch):
    """Stopped just after the rewind, and resumed: the same bytes as the run that went through."""
    poison(monkeypatch, {60}, foreign_targets)
    train(write_recipe(tmp_path / "whole"))

    train_with_a_stop(write_recipe(tmp_path / "stopped"), "spike")
    assert same(state(tmp_path / "stopped" / "run"), state(tmp_path / "whole" / "run"))
    assert len(events(tmp_path / "stopped" / "run", "spike")) == 1


def test_a_checkpoint_of_the_way_that_was_left_is_never_gone_on_from(tmp_path, monkeypatch):
    poison(monkeypatch, {60}, foreign_targets)
    path = write_recipe(tmp_path)

    def kill(event):
        if event.kind == "spike":
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        train(path, "checkpoint.every_steps=5", listener=Silent(kill))
    assert step_of(list_checkpoints(tmp_path / "run")[-1]) == 60  # behind the step of the rewind, 56
    train(path, "checkpoint.every_steps=5", resume=True)
    train(write_recipe(tmp_path / "whole"), "checkpoint.every_steps=5")
    assert same(state(tmp_path / "run"), state(tmp_path / "whole" / "run"))


def not_finite(value, name):
    """Put one value into one gradient."""

    def change(batch, running):
        def spoil(gradient):
            gradient = gradient.clone()
            gradient.view(-1)[3] = value
            return gradient

        running.trainer.model.get_parameter(name).register_hook(_once(spoil))
        return batch

    return change


def _once(change):
    left = [1]

    def hook(gradient):
        left[0] -= 1
        return change(gradient) if left[0] >= 0 else gradient

    return hook


@pytest.mark.parametrize(
    ("value", "name", "action"),
    [
        (math.nan, "model.norm.weight", "rewind"),
        (math.inf, "model.layers.1.mlp.up_proj.weight", "rewind"),
        (-math.inf, "model.embed_tokens.weight", "off"),
    ],
)
def test_what_is_not_finite_costs_its_batch_and_no_more(tmp_path, monkeypatch, value, name, action):
    """Weights and moments are those of a run that passes over that batch, bit for bit."""
    settings = (f"spikes.action={action}", "budget.steps=16", "batch.micro_rows=4")
    train(write_recipe(tmp_path / "told"), *settings, 'data.skip_steps=["9:10"]')
    poison(monkeypatch, {9}, not_finite(value, name))
    train(write_recipe(tmp_path / "spoilt"), *settings)
    (discard,) = events(tmp_path / "spoilt" / "run", "discard")
    assert discard.step == 9
    assert "the gradient's norm nan" in discard.fields["reason"] or "inf" in discard.fields["reason"]
    assert same(state(tmp_path / "told" / "run"), state(tmp_path / "spoilt" / "run"))


def test_a_run_that_nothing_can_be_learned_from_ends_with_advice(tmp_path, monkeypatch):
    def gradient(self, batch):
        return math.nan, math.nan

    monkeypatch.setattr(loop._Loop, "_gradient", gradient)
    with pytest.raises(TextmillError, match=r"10 times in a row.*Lower schedule.peak_lr"):
        train(write_recipe(tmp_path))


def larger_norms(monkeypatch, steps):
    """Gradients whose norm is ten times what it is before a data step, and the loss the same."""
    gradient = loop._Loop._gradient

    def scaled(self, batch):
        loss, norm = gradient(self, batch)
        data_step = self.trainer.loader.skipped.data_step(self.trainer.step)
        return loss, 10 * norm if data_step in steps else norm

    monkeypatch.setattr(loop._Loop, "_gradient", scaled)


def test_a_run_goes_on_where_norms_rise_and_the_loss_does_not(tmp_path, monkeypatch):
    """Three other batches are tried, and then those larger norms are the usual ones; a resume decides the same."""
    larger_norms(monkeypatch, range(60, 10_000))
    train(write_recipe(tmp_path / "whole"))
    run = tmp_path / "whole" / "run"
    assert len(events(run, "spike")) == 3
    (rose,) = events(run, "norms_rose")
    assert rose.step < 80
    assert len(events(run, "step")) >= 80

    train_with_a_stop(write_recipe(tmp_path / "stopped"), "norms_rose")
    assert same(state(tmp_path / "stopped" / "run"), state(run))


def test_one_batch_whose_norm_alone_is_large_is_passed_over(tmp_path, monkeypatch):
    larger_norms(monkeypatch, {60})
    train(write_recipe(tmp_path))
    assert len(events(tmp_path / "run", "spike")) == 1
    assert not events(tmp_path / "run", "norms_rose")
