"""Of the data engine's stages a run tells those that may take long, and how far each is."""

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe


class Recorder(Silent):
    def __init__(self):
        super().__init__()
        self.stages = []

    def doing(self, what, total=None):
        self.stages.append((what, total, []))

    def progress(self, done):
        self.stages[-1][2].append(done)


def test_a_bar_never_goes_back_and_is_that_of_its_stage(tmp_path):
    recorder = Recorder()
    run_recipe(load_recipe(write_recipe(tmp_path), ["budget.steps=1"]), recorder)
    assert [what for what, _, _ in recorder.stages] == [
        "reading the text", "looking for duplicates", "training the tokenizer", "writing the shards",
        "timing a few steps",
    ]  # fmt: skip
    for what, total, done in recorder.stages[:-1]:
        assert done, what
        assert done == sorted(done), what
        assert done[-1] <= total, what
