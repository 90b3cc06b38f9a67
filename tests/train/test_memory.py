"""Rows at once and what is recomputed, chosen by the formula; memory that runs out all the same."""

import json

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from textmill.base.errors import ConfigError, TextmillError  # noqa: E402
from textmill.base.events import read_events  # noqa: E402
from textmill.checkpoint.store import list_checkpoints, load_checkpoint, remove_checkpoint, step_of  # noqa: E402
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.train import loop  # noqa: E402
from textmill.train.interventions import load_interventions  # noqa: E402
from textmill.train.memory import choose_memory, predicted_bytes  # noqa: E402
from textmill.train.out_of_memory import halve_micro_rows  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.ranks import Ranks  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402
from textmill.train.run import load_run  # noqa: E402
from textmill.train.trainer import assemble  # noqa: E402

CONFIG = ModelConfig(
    vocab_size=1000,
    hidden_size=128,
    intermediate_size=384,
    num_hidden_layers=12,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
)
NO_COPIES = "spikes.action=off"


@pytest.fixture
def recipe(tmp_path):
    path = write_recipe(tmp_path)

    def make(*settings):
        text = path.read_text().replace("micro_rows = 2\n", "").replace("rows = 4", "rows = 16")
        path.write_text(text.replace("context = 32", "context = 256"))
        return load_recipe(path, [NO_COPIES, *settings])

    return make


def test_with_memory_enough_nothing_is_recomputed_and_all_rows_go_at_once(recipe):
    chosen = choose_memory(recipe(), CONFIG, lambda message: None, available=1 << 36)
    assert (chosen.micro_rows, chosen.remat) == ((16,), "none")


def test_less_memory_means_fewer_rows_before_anything_is_recomputed(recipe):
    peak = predicted_bytes(recipe(), CONFIG, (4,), "none")
    chosen = choose_memory(recipe(), CONFIG, lambda message: None, available=int(peak / 0.9) + 99)
    assert (chosen.micro_rows, chosen.remat, chosen.predicted_bytes) == ((4,), "none", peak)


@pytest.mark.parametrize("remat", ["none", "llama", "full"])
def test_where_rows_are_given_as_little_as_fits_is_recomputed(recipe, remat):
    asked = recipe("batch.micro_rows=16")
    peak = predicted_bytes(asked, CONFIG, (16,), remat)
    chosen = choose_memory(asked, CONFIG, lambda message: None, available=int(peak / 0.9) + 99)
    assert (chosen.micro_rows, chosen.remat, chosen.predicted_bytes) == ((16,), remat, peak)


def test_what_does_not_fit_is_refused_with_what_would(recipe):
    asked = recipe("batch.micro_rows=16", "run.remat=none")
    fitting = predicted_bytes(asked, CONFIG, (1,), "none")
    with pytest.raises(
        ConfigError, match=r"with 16 rows of 256 tokens at once and remat none.*batch.micro_rows=1 takes"
    ):
        choose_memory(asked, CONFIG, lambda message: None, available=int(fitting / 0.9) + 99)
    with pytest.raises(ConfigError, match=r"may be used\. a shorter context or a smaller model takes less$"):
        choose_memory(recipe("spikes.action=rewind"), CONFIG, lambda message: None, available=1 << 20)
    fitting = predicted_bytes(asked, CONFIG, (1,), "full")
    with pytest.raises(ConfigError, match=r"remat=full --set spikes.action=off takes [\d.]+ MB"):
        choose_memory(recipe("spikes.action=rewind"), CONFIG, lambda message: None, available=int(fitting / 0.9) + 99)


def test_a_model_that_does_not_fit_is_refused_before_anything_is_read(tmp_path):
    path = write_recipe(tmp_path)
    with pytest.raises(ConfigError, match="a smaller model takes less"):
        train(path, "model.hidden_size=16_384", "model.num_hidden_layers=400", "model.head_dim=128")
    assert not (tmp_path / "run").exists()


def test_copies_to_go_back_to_are_reckoned_with(recipe):
    with_copies = predicted_bytes(recipe("spikes.action=rewind"), CONFIG, (1,), "none")
    without = predicted_bytes(recipe(), CONFIG, (1,), "none")
    layers = sum(np.prod(s) for n, s in CONFIG.tensor_shapes().items() if ".layers." in n and len(s) == 2)
    assert with_copies - without == 2 * 4 * (3 * CONFIG.num_parameters - layers)  # Muon's one moment of matrices


def train(path, *settings, listener=None, resume=False):
    return run_recipe(load_recipe(path, settings), listener or Silent(), resume=resume)


def weights(run):
    return load_checkpoint(list_checkpoints(run)[-1]).model


def running_short(monkeypatch, error, passing=6):
    """Let memory run out with 4 rows from the ``passing``-th gradient on; returns each gradient's rows at once."""
    real, seen = loop.accumulate, []

    def accumulate(model, batch, *, micro_rows, **options):
        seen.append(micro_rows)
        loss = real(model, batch, micro_rows=micro_rows, **options)
        if len(seen) >= passing and micro_rows == 4:
            raise error
        return loss

    monkeypatch.setattr(loop, "accumulate", accumulate)
    return seen


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")]
)
def test_memory_that_runs_out_halves_the_rows_and_not_the_batch(tmp_path, monkeypatch, error):
    """The step is taken again in smaller parts: near the run that had memory enough, and remembered.

    A gradient differs by 1e-6 of its largest value (test_parity); 7 steps of Muon make 1e-4 of that.
    """
    train(write_recipe(tmp_path / "whole"), "batch.micro_rows=4")
    seen = running_short(monkeypatch, error)
    train(write_recipe(tmp_path / "short"), "batch.micro_rows=4")
    assert seen == [4] * 6 + [2] * 7
    events = read_events(tmp_path / "short" / "run" / "events.jsonl")
    (told,) = [event for event in events if event.kind == "micro_rows"]
    assert (told.step, told.fields["old"], told.fields["new"]) == (5, 4, 2)
    decided = json.loads((tmp_path / "short" / "run" / "interventions.json").read_text())
    assert decided["fewer_rows"] == [{"first": 5, "stage": "stable", "micro_rows": 2}]
    one, other = weights(tmp_path / "whole" / "run"), weights(tmp_path / "short" / "run")
    assert all(np.allclose(one[name], other[name], rtol=0, atol=1e-4) for name in one)


def test_steps_before_memory_ran_out_are_taken_again_as_they_were(tmp_path, monkeypatch):
    """Killed after the halving and before a checkpoint, and resumed from the first step: the same bytes."""
    settings = ("batch.micro_rows=4", "checkpoint.every_steps=100")
    running_short(monkeypatch, MemoryError())
    train(write_recipe(tmp_path / "whole"), *settings)
    monkeypatch.undo()

    def kill(event):
        if event.kind == "step" and event.step == 8:
            raise RuntimeError("killed")

    running_short(monkeypatch, MemoryError())
    path = write_recipe(tmp_path / "killed")
    with pytest.raises(RuntimeError, match="killed"):
        train(path, *settings, listener=Silent(kill))
    monkeypatch.undo()
    seen = running_short(monkeypatch, MemoryError(), passing=100)
    train(path, *settings, resume=True)
    assert seen == [4] * 5 + [2] * 7
    one, other = weights(tmp_path / "whole" / "run"), weights(tmp_path / "killed" / "run")
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_single_row_that_does_not_fit_ends_with_advice(tmp_path, monkeypatch):
    def accumulate(*args, **options):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(loop, "accumulate", accumulate)
    with pytest.raises(TextmillError, match=r"one row of 32 tokens at once; .*--remat full"):
        train(write_recipe(tmp_path))


def test_a_rank_of_several_writes_down_what_all_begin_again_with(tmp_path, monkeypatch):
    """The others wait for a gradient that will not come; --resume takes fewer rows, without another recipe."""
    path, ranks = write_recipe(tmp_path), Ranks(rank=1, size=2)
    train(path, "batch.micro_rows=4")
    trainer = assemble(load_run(tmp_path / "run"))
    with pytest.raises(TextmillError, match=r"on rank 1 with 4 rows at once; it will be 2 from now on.*--resume$"):
        halve_micro_rows(trainer, trainer.run.plan.stages[0], 4, lambda *args, **fields: None, ranks)
    for checkpoint in list_checkpoints(tmp_path / "run"):
        remove_checkpoint(tmp_path / "run", step_of(checkpoint))
    real, seen = loop.accumulate, set()

    def accumulate(*args, micro_rows, **options):
        seen.add(micro_rows)
        return real(*args, micro_rows=micro_rows, **options)

    monkeypatch.setattr(loop, "accumulate", accumulate)
    train(path, "batch.micro_rows=4", resume=True)
    assert seen == {2}


def test_other_errors_are_not_taken_for_it(tmp_path, monkeypatch):
    def accumulate(*args, **options):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loop, "accumulate", accumulate)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(write_recipe(tmp_path))


@pytest.mark.parametrize("rows", [{}, {"stable": 2}])
def test_decisions_of_runs_begun_before_their_steps_were_kept_are_read(tmp_path, rows):
    skip = {"first": 3, "end": 5, "back_to": 3, "reason": "spike"}
    (tmp_path / "interventions.json").write_text(json.dumps({"skips": [skip], "micro_rows": rows}))
    found = load_interventions(tmp_path)
    assert found.ranges == ((3, 5),)
    assert found.micro_rows(9, "stable", 4) == rows.get("stable", 4)
