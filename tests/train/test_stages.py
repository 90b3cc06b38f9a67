"""Several stages in one run: mixture, context and RoPE's base change at the step they should, resumed anywhere."""

import os
import signal

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.base.errors import ConfigError, DataError, StoppedError
from textmill.base.events import read_events
from textmill.checkpoint.huggingface import load_config
from textmill.checkpoint.store import list_checkpoints, load_checkpoint
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe

# 4 rows of 32 tokens are a step: 6 steps of words, then 6 of both on twice the context.
STAGES = """
[[stages]]
name = "short"
tokens = 768
context = 32
mixture = { words = 1.0 }

[[stages]]
name = "long"
tokens = 768
context = 64
rope_theta = 50000.0
mixture = { words = 0.5, sums = 0.5 }
"""


def staged(folder, stages=STAGES):
    path = write_recipe(folder)
    text = path.read_text()
    begin, end = text.index("[[stages]]"), text.index("[batch]")
    path.write_text(text[:begin] + stages + text[end:].replace("[budget]\nsteps = 12\n", ""))
    return path


def train(path, *settings, listener=None, resume=False):
    return run_recipe(load_recipe(path, settings), listener or Silent(), resume=resume)


def state(run):
    checkpoint = load_checkpoint(list_checkpoints(run)[-1])
    return {**checkpoint.model, **checkpoint.optimizer}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged")
    train(staged(folder))
    return folder / "run"


def test_stages_change_at_their_steps(whole):
    events = read_events(whole / "events.jsonl")
    begun = [
        (event.step, event.fields["name"], event.fields["rope_theta"]) for event in events if event.kind == "stage"
    ]
    assert begun == [(0, "short", 10_000.0), (6, "long", 50_000.0)]
    stages = [event.fields["stage"] for event in events if event.kind == "step"]
    assert stages == ["short"] * 6 + ["long"] * 6


def test_the_finished_model_has_the_last_base_and_the_longest_context(whole):
    config = load_config(whole / "model")
    assert config.rope_theta == 50_000
    assert config.max_position_embeddings == 64


def test_a_checkpoint_is_a_model_of_its_own_stage(whole, tmp_path):
    train(staged(tmp_path), "checkpoint.keep=5")
    thetas = [load_config(folder).rope_theta for folder in list_checkpoints(tmp_path / "run")]
    assert thetas == [10_000, 50_000, 50_000]


@pytest.mark.parametrize("step", [3, 6, 9])
def test_a_run_stopped_in_a_stage_or_between_goes_on_to_the_same_bytes(whole, tmp_path, step):
    def stop(event):
        if event.kind == "step" and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    path = staged(tmp_path)
    with pytest.raises(StoppedError) as error:
        train(path, listener=Silent(stop))
    assert error.value.exit_code == 143
    train(path, resume=True)
    one, other = state(tmp_path / "run"), state(whole)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_source_goes_on_where_the_stage_before_left_it(tmp_path):
    """Words alone, in two stages of one context: row for row the batches of a single stage."""
    second = "context = 64\nrope_theta = 50000.0\nmixture = { words = 0.5, sums = 0.5 }"
    two = STAGES.replace(second, "context = 32\nmixture = { words = 1.0 }")
    one = '[[stages]]\nname = "all"\ntokens = 1536\ncontext = 32\nmixture = { words = 1.0 }\n'
    train(staged(tmp_path / "two", two))
    train(staged(tmp_path / "one", one))
    first, second = state(tmp_path / "one" / "run"), state(tmp_path / "two" / "run")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_a_context_longer_than_the_data_is_refused_before_anything_is_timed(tmp_path):
    with pytest.raises((ConfigError, DataError), match="a row takes 4097; give it more text, or shorten the context"):
        train(staged(tmp_path, STAGES.replace("context = 64", "context = 4096")), "batch.rows=128")


def test_stages_and_budget_that_disagree_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="budget is 100 steps, and the stages' tokens are 12 steps"):
        train(staged(tmp_path), "budget.steps=100")


def test_document_masks_and_best_fit_packing_train(tmp_path):
    train(staged(tmp_path), "data.packing=best-fit", "data.document_masks=true")
    steps = [event for event in read_events(tmp_path / "run" / "events.jsonl") if event.kind == "step"]
    assert steps[-1].fields["loss"] < steps[0].fields["loss"]
