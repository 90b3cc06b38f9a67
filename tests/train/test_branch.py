"""Branching decay: from any checkpoint of a stable run to a finished model, the run that is left untouched."""

import hashlib
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.base.errors import ConfigError, DataError, StoppedError
from textmill.base.events import read_events
from textmill.checkpoint.store import list_checkpoints, load_checkpoint
from textmill.train.branch import open_parent
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe
from textmill.train.run_compare import compare_runs
from textmill.train.run_record import read_run

STABLE = ("schedule.decay_fraction=0.5", "checkpoint.keep=9", "checkpoint.every_steps=2")


def train(path, *settings, listener=None, resume=False):
    return run_recipe(load_recipe(path, settings), listener or Silent(), resume=resume)


@pytest.fixture
def nothing_is_timed(monkeypatch):
    monkeypatch.setattr("textmill.train.pipeline.make_plan", None)


def steps(run):
    return [event for event in read_events(run / "events.jsonl") if event.kind == "step"]


def tensors(run):
    checkpoint = load_checkpoint(list_checkpoints(run)[-1])
    return {**checkpoint.model, **checkpoint.optimizer}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def hashes(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def stable(tmp_path_factory):
    """12 steps, of which the last 6 decay."""
    folder = tmp_path_factory.mktemp("stable")
    train(write_recipe(folder), *STABLE)
    return folder


def branch(stable, name, *settings, step=6, **options):
    recipe = stable / "recipe.toml"
    run = stable / name
    train(recipe, *STABLE, f"run.dir={run}", f"run.branch={stable / 'run'}@{step}", *settings, **options)
    return run


def test_a_branch_where_the_decay_begins_is_the_run_itself(stable):
    """Six steps from step 6 on: the same learning rates, batches and bytes."""
    run = branch(stable, "equal", "budget.steps=6")
    assert [event.step for event in steps(run)] == list(range(7, 13))
    assert same(tensors(run), tensors(stable / "run"))


def test_a_branch_decays_from_where_it_leaves_and_leaves_the_run_alone(stable):
    before = hashes(stable / "run")
    run = branch(stable, "early", "budget.steps=4", step=4)
    assert hashes(stable / "run") == before
    rates = [event.fields["lr"] for event in steps(run)]
    assert [event.step for event in steps(run)] == [5, 6, 7, 8]
    assert rates == pytest.approx([1e-2 * share for share in (4 / 5, 3 / 5, 2 / 5, 1 / 5)])
    start = next(event for event in read_events(run / "events.jsonl") if event.kind == "start")
    assert start.fields["branch"] == {"run": str(stable / "run"), "step": 4}
    assert (run / "model" / "model.safetensors").is_file()


def test_a_stopped_branch_goes_on_to_the_same_bytes(stable):
    whole = branch(stable, "whole", "budget.steps=4", step=4)

    def stop(event):
        if event.kind == "step" and event.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        branch(stable, "stopped", "budget.steps=4", step=4, listener=Silent(stop))
    run = branch(stable, "stopped", "budget.steps=4", step=4, resume=True)
    assert same(tensors(run), tensors(whole))


def test_a_branch_that_has_begun_needs_the_run_it_left_no_more_than_its_shards(stable, tmp_path):
    """Its checkpoint may be pruned there: the branch has its own."""
    run = stable / "alone"

    def stop(event):
        if event.kind == "step" and event.step == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError):
        branch(stable, "alone", "budget.steps=4", step=4, listener=Silent(stop))
    pruned = stable / "run" / "checkpoints" / "step-00000004"
    pruned.rename(tmp_path / "kept")
    try:
        run_recipe(load_recipe(run), Silent(), resume=True)
    finally:
        (tmp_path / "kept").rename(pruned)
    assert steps(run)[-1].step == 8


def test_data_is_tried_by_branching_with_it_and_without_it(stable):
    """Both hold out the same text of a new source; the mixture alone differs, and the comparison tells its worth."""
    (stable / "notes").mkdir()
    for number in range(30):
        (stable / "notes" / f"{number}.txt").write_text(f"zebra {number} quagga {number * 7} okapi\n" * 20)
    trial = ("budget.steps=6", f"data.sources.notes.path={stable / 'notes'}")
    branch(stable, "without", *trial, "stages=[{context=32, mixture={words=0.75, sums=0.25}}]")
    branch(stable, "with", *trial, "stages=[{context=32, mixture={words=0.5, sums=0.25, notes=0.25}}]")
    found = compare_runs([read_run(stable / name) for name in ("without", "with")])
    mixture = re.compile(r"(recipe|plan)\.stages\.\d\.mixture\.(words|notes)")
    assert all(mixture.fullmatch(one.key) for one in found.differences), found.differences
    assert {"all", "words", "sums", "notes"} <= found.scores.keys()
    without, with_it = found.scores["notes"]
    assert with_it.at_tokens < without.at_tokens - 0.1


def test_a_branch_computes_as_the_run_it_leaves(stable, monkeypatch):
    """Though the other precision be faster this time: the bytes of the run itself."""
    monkeypatch.setattr("textmill.train.decide.step_time_s", lambda *given: 1.0 if given[3] == "f32" else 0.5)
    run = branch(stable, "auto", "budget.steps=6", "run.precision=auto")
    assert same(tensors(run), tensors(stable / "run"))


@pytest.mark.parametrize(
    ("branch_at", "settings", "message"),
    [
        ("{run}", (), "is no branch; write RUN@STEP"),
        ("{run}@5", (), "has no checkpoint of step 5; it has: 2, 4, 6"),
        ("{run}@10", (), "is at its peak from step 2 to 6, and not at step 10"),
        ("{run}@4", ("model.hidden_size=64",), r"\[model\] is not as in .*, which the run branches from"),
        ("{run}@4", ("run.seed=5",), "run.seed and .* must be as in"),
        (
            "{run}@4",
            ("stages=[{context=16}]",),
            r"has 64 tokens \(4 rows of 16\).* 128; set the context .* 32,",
        ),
    ],
)
@pytest.mark.usefixtures("nothing_is_timed")
def test_what_cannot_be_branched_from_is_told(stable, tmp_path, branch_at, settings, message):
    name = branch_at.format(run=stable / "run")
    with pytest.raises(ConfigError, match=message):
        train(stable / "recipe.toml", *STABLE, f"run.dir={tmp_path / 'b'}", f"run.branch={name}", *settings)
    assert not (tmp_path / "b").exists()


def test_a_branch_may_name_its_run_as_runs_show_does(stable, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(stable / "run")
    monkeypatch.chdir(tmp_path)
    branched = load_recipe(stable / "recipe.toml", ["budget.steps=4", "run.branch=mine@4"])
    assert open_parent(branched).run.folder == Path("runs/mine")
    misspelt = load_recipe(stable / "recipe.toml", ["budget.steps=4", "run.branch=mime@4"])
    with pytest.raises(DataError, match=r'no run "mime"; did you mean "mine"\?'):
        open_parent(misspelt)
