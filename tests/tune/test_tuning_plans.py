"""What is decided before a run of tuning: nothing that takes more memory than it has, or that a resume changes."""

import json
import re

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

import textmill
from fakes.listener import Silent
from fakes.tiny_model import write_model
from textmill.base.errors import ConfigError
from textmill.train import compiled, decide, timing
from textmill.train.recipe import load_recipe
from textmill.train.spread import HERE
from textmill.tune.base_model import open_base
from textmill.tune.graded_answers import read_answers
from textmill.tune.pipeline import _Tuning
from textmill.tune.rollouts import engine_bytes
from tune.tiny_tuning import TUNE, tune, write_recipe


def planned(folder, kind, settings):
    said = []
    listener = Silent()
    listener.say = said.append
    run_folder = folder / "run"
    recipe = load_recipe(write_recipe(folder, kind), settings)
    run_folder.mkdir()
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


@pytest.mark.parametrize(("asked", "planned_as"), [("auto", "f32"), ("f32", "f32"), ("bf16", "bf16")])
def test_answers_are_learned_from_in_the_precision_that_they_are_drawn_in(tmp_path, monkeypatch, asked, planned_as):
    monkeypatch.setattr(decide, "step_time_s", lambda recipe, config, memory, name, *args: 1.0 + (name == "f32"))
    plan, said = planned(tmp_path, "grpo", ("budget.steps=2", f"run.precision={asked}"))
    assert plan.precision == planned_as
    assert any("drawn in f32" in line for line in said) == (asked == "bf16")


def test_what_a_model_in_training_draws_is_as_probable_as_its_loss_has_it(tmp_path):
    """In a run whose recipe leaves the precision open: the engine's own log-probabilities beside the trainer's."""
    tune(write_recipe(tmp_path, "grpo"), "grpo", ("budget.steps=2", "tune.updates=2", "run.precision=auto"))
    answers = read_answers(tmp_path / "run/rollouts/step-0000000.jsonl")
    base = open_base(str(tmp_path / "base"), 64)
    engine = textmill.load(tmp_path / "base", weights="f32", kv="f32")
    prompts = [json.loads(line)["prompt"] for line in (tmp_path / "prompts.jsonl").read_text().splitlines()]
    for answer in answers[:8]:
        prompt = [*base.rules.prefix_ids, *base.tokenizer.encode(prompts[answer.question])]
        logits = torch.from_numpy(engine.logits([*prompt, *answer.ids[:-1]])[len(prompt) - 1 :].copy())
        wanted = logits.double().log_softmax(-1)[range(len(answer.ids)), list(answer.ids)]
        np.testing.assert_allclose(answer.log_p, wanted, atol=1e-4)  # f32 in another order


def bytes_of(folder, kind, *settings):
    """The bytes that a run is planned with, at one row at once and no copies to go back to."""
    shared = ("batch.micro_rows=1", "spikes.action=off", "run.remat=none")
    if kind == "grpo":
        shared = (*shared, "budget.steps=1")
    return planned(folder, kind, (*shared, *settings))[0].predicted_bytes


def test_a_plan_counts_the_engine_and_the_reference(tmp_path):
    """Of a model so large that its weights are most of all: 64 wide tables of 304 rows are not."""
    sizes = {"hidden_size": 256, "intermediate_size": 2048, "num_hidden_layers": 6}
    config = write_model(tmp_path / "large", **sizes)
    whole = 4 * config.num_parameters

    def planned_bytes(kind, *settings):
        folder = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
        return bytes_of(folder, kind, f"tune.model={tmp_path / 'large'}", *settings)

    adapts = ("tune.rank=1", 'tune.targets=["q_proj"]')
    engine = engine_bytes(config, context=64, num_answers=32, device="cpu")
    assert engine > whole
    assert planned_bytes("grpo", "tune.beta=0.1") - planned_bytes("grpo") == whole
    # Weights and optimizer state of a frozen model are next to nothing, so that what lies between steps is the most.
    learned = planned_bytes("grpo", *adapts) - 2 * whole
    assert engine < learned < engine + whole / 2 + (80 << 20)
    assert planned_bytes("grpo", "tune.beta=0.1", *adapts) == planned_bytes("grpo", *adapts)
    sft = planned_bytes("sft", *adapts)
    assert 2 * whole + (80 << 20) <= sft < 2.3 * whole + (80 << 20), "merged at the end"


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


@pytest.mark.parametrize(
    ("kind", "settings", "peak_lr"),
    [
        ("sft", (), 1e-4),
        ("sft", ("tune.rank=8",), 2e-4),
        ("dpo", (), 1e-6),
        ("dpo", ("tune.rank=8",), 1e-5),
        ("grpo", ("budget.steps=3",), 1e-6),
        ("grpo", ("budget.steps=3", "tune.rank=8"), 1e-5),
    ],
)
def test_what_a_recipe_leaves_out_is_that_of_its_kind(tmp_path, kind, settings, peak_lr):
    write_recipe(tmp_path, kind)
    path = tmp_path / "short.toml"
    path.write_text(f'[run]\ndir = "run"\n[tune]\nmodel = "base"\n{TUNE[kind]}\n')
    recipe = load_recipe(path, settings)
    schedule, optimizer = recipe.schedule, recipe.optimizer
    assert (schedule.kind, schedule.peak_lr, schedule.min_lr_ratio) == ("cosine", peak_lr, 0.0)
    assert schedule.warmup_of(200) == 20
    assert (optimizer.betas, optimizer.weight_decay, recipe.eval.holdout) == ((0.9, 0.999), 0.0, 0.0)
    given = load_recipe(path, (*settings, "schedule.kind=wsd", "schedule.warmup_steps=3", "optimizer.weight_decay=0.1"))
    assert (given.schedule.kind, given.schedule.peak_lr, given.schedule.decay_fraction) == ("wsd", peak_lr, 0.4)
    assert given.schedule.warmup_of(200) == 3
    assert (given.optimizer.weight_decay, given.optimizer.betas) == (0.1, (0.9, 0.999))
    assert load_recipe(path, (*settings, "schedule.peak_lr=0.5")).schedule.peak_lr == 0.5


def test_recipes_that_come_along_say_all_of_it_themselves():
    for name in ("smollm2-135m-sft", "smollm2-360m-sft", "smollm2-1.7b-sft", "smollm2-135m-dpo"):
        recipe = load_recipe(name)
        assert recipe.schedule.kind == "cosine"
        assert recipe.schedule.peak_lr in {1e-3, 3e-4, 1e-6}
        assert recipe.optimizer.weight_decay == 0.0
