"""What is decided before a run of tuning: nothing that takes more memory than it has, or that a resume changes."""

import re

import pytest

pytest.importorskip("torch")

from fakes.listener import Silent
from textmill.base.errors import ConfigError
from textmill.train import compiled, decide, timing
from textmill.train.recipe import load_recipe
from textmill.train.spread import HERE
from textmill.tune.pipeline import _Tuning
from tune.tiny_tuning import write_recipe


def planned(folder, kind, settings):
    said = []
    listener = Silent()
    listener.say = said.append
    run_folder = folder / "run"
    run_folder.mkdir()
    recipe = load_recipe(write_recipe(folder, kind), settings)
    return _Tuning().plan(run_folder, recipe, listener, HERE).plan, said


@pytest.mark.parametrize(("rates", "faster"), [({"f32": 1e9, "bf16": 3e9}, "bf16"), ({"f32": 2e9, "bf16": 1e9}, "f32")])
def test_a_run_of_adapters_builds_no_whole_model_to_choose_its_precision(tmp_path, monkeypatch, rates, faster):
    monkeypatch.setattr(timing, "Llama", None)  # nothing can be built of it
    monkeypatch.setattr(decide, "peak_flops_per_s", lambda precision, device: rates[precision])
    plan, said = planned(tmp_path, "sft", ("tune.rank=2", "run.precision=auto"))
    assert plan.precision == faster
    assert plan.step_time_s is None
    (line,) = [text for text in said if text.startswith("precision")]
    assert line.startswith(f"precision {faster}: matrix products alone do {max(rates.values()) / 1e9:.0f}B FLOP/s")


def test_no_blocks_are_compiled_where_every_step_has_another_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(decide, "step_time_s", lambda *args, compiled=False: 1.0 if compiled else 1e6)
    monkeypatch.setattr(compiled, "why_not", lambda device: None)
    plan, said = planned(tmp_path, "sft", ("run.precision=auto",))
    assert not plan.compiled
    assert "blocks are not compiled: every step's rows have a length of their own" in said


@pytest.mark.parametrize(("kind", "settings"), [("sft", ("tune.rank=2",)), ("grpo", ())])
def test_minutes_are_refused_where_steps_are_not_timed(tmp_path, kind, settings):
    path = write_recipe(tmp_path, kind)
    with pytest.raises(ConfigError, match=r"5 minutes, and steps of .* give steps or epochs.*--set budget.steps"):
        load_recipe(path, ("budget.minutes=5", *settings))


def test_a_length_that_is_set_takes_the_place_of_the_recipes():
    for name in ("smollm2-135m-sft", "smollm2-135m-dpo"):
        recipe = load_recipe(name, ("tune.data=chats.jsonl", "budget.steps=10"))
        assert (recipe.budget.steps, recipe.tune.epochs) == (10, None)


def test_epochs_that_are_set_take_the_place_of_the_recipes_budget(tmp_path):
    path = write_recipe(tmp_path, "dpo")
    path.write_text(path.read_text().replace("epochs = 4", "") + "[budget]\nsteps = 5\n")
    recipe = load_recipe(path, ("tune.epochs=2",))
    assert (recipe.budget.steps, recipe.tune.epochs) == (None, 2)
    assert load_recipe(path).budget.steps == 5


@pytest.mark.parametrize(
    ("kind", "settings", "what"),
    [
        ("sft", ("batch.rows=48",), "a step has 48 conversations, and the data have 24: "),
        ("sft", ("batch.rows=48", "tune.packing=all"), r"a step has 48 rows, and the data have \d+: "),
        ("dpo", ("batch.rows=32",), "a step has 32 pairs, and the data have 24: "),
        ("grpo", ("batch.rows=96", "budget.steps=1"), "a step has 12 prompts, and the data have 10: "),
    ],
)
def test_a_step_that_has_more_than_there_is_says_so(tmp_path, kind, settings, what):
    _, said = planned(tmp_path, kind, settings)
    assert any(re.match(what, text) for text in said)


def test_a_step_that_has_all_there_is_says_nothing(tmp_path):
    _, said = planned(tmp_path, "sft", ("batch.rows=24",))
    assert not any("a step has" in text for text in said)
