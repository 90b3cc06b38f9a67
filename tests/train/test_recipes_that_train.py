"""Which recipes the trainer takes: either schedule, parts of a text."""

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.base.events import read_events
from textmill.data.manifest import read_manifest
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe


def train(path, *settings):
    return run_recipe(load_recipe(path, settings), Silent())


def test_a_cosine_is_trained_by(tmp_path):
    train(write_recipe(tmp_path), "schedule={ kind = 'cosine', peak_lr = 1e-2, warmup_steps = 2 }")
    rates = [e.fields["lr"] for e in read_events(tmp_path / "run" / "events.jsonl") if e.kind == "step"]
    assert rates[2] == pytest.approx(1e-2)
    assert rates[-1] == pytest.approx(1e-3)


def test_parts_of_one_text_are_sources_of_their_own(tmp_path):
    path = write_recipe(tmp_path)
    sources = ", ".join(
        f"{name} = {{ path = '{tmp_path / 'words'}', part = [{low}, {high}] }}"
        for name, low, high in (("words", 0, 0.6), ("sums", 0.6, 1))
    )
    train(path, f"data.sources={{ {sources} }}", "budget.steps=1")
    numbers = [read_manifest(tmp_path / "run" / "shards" / name).num_documents for name in ("words", "sums")]
    assert all(numbers)
    assert sum(numbers) <= 30
