"""The memory that checkpoints are copied into."""

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from textmill.checkpoint import snapshot  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_it_is_set_aside_once_and_is_enough(tmp_path, monkeypatch, optimizer):
    """New memory at the first save would hold the loop up several times as long as the copy does."""
    asked = []
    real = snapshot._new_memory

    def new_memory(num_bytes):
        asked.append(num_bytes)
        return real(num_bytes)

    monkeypatch.setattr(snapshot, "_new_memory", new_memory)
    run_recipe(load_recipe(write_recipe(tmp_path, optimizer=optimizer), []), Silent())
    assert len(asked) == 1
