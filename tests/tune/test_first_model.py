"""The model that tuning began from: asked where it is, and built a second time only where it is not there any more."""

import shutil

import pytest

pytest.importorskip("torch")

import torch

from fakes.listener import Silent
from fakes.tiny_model import write_model
from textmill.base.events import read_events
from textmill.model.llama import Llama
from textmill.train.recipe import load_recipe
from textmill.tune.base_model import BaseModel, open_base
from textmill.tune.lora import LoraAdapters, LoraSettings
from textmill.tune.pipeline import run_tuning
from tune.tiny_tuning import tune, write_recipe

ADAPTS = ("tune.rank=3", "tune.dropout=0.2")


@pytest.fixture
def built(monkeypatch):
    """How often a model was built beside the one that learns."""
    calls, llama = [], BaseModel.llama
    monkeypatch.setattr(BaseModel, "llama", lambda self: calls.append(1) or llama(self))
    return calls


def first_loss(folder):
    return next(e.fields["loss"] for e in read_events(folder / "run/events.jsonl") if e.kind == "step")


@pytest.mark.parametrize("settings", [(), ADAPTS, ("run.precision=bf16", *ADAPTS)], ids=["all", "lora", "bf16"])
def test_pairs_are_asked_about_before_the_first_step_without_another_model(tmp_path, built, settings):
    path = write_recipe(tmp_path, "dpo")
    tune(path, "dpo", ("tune.epochs=1", *settings))
    assert not built
    assert first_loss(tmp_path) == pytest.approx(0.6931, abs=1e-3 if "run.precision=bf16" not in settings else 0.05)


@pytest.mark.parametrize(("settings", "number"), [((), 1), (ADAPTS, 0)], ids=["all", "lora"])
def test_a_resume_that_lacks_them_asks_the_first_model_again(tmp_path, built, settings, number):
    wanted, folder = tmp_path / "wanted", tmp_path / "found"
    options = ("tune.epochs=2", *settings)
    tune(write_recipe(wanted, "dpo"), "dpo", options)
    with pytest.raises(KeyboardInterrupt):
        stopped(write_recipe(folder, "dpo"), options, at=5)
    shutil.rmtree(folder / "run/reference")
    tune(folder / "recipe.toml", "dpo", options)
    assert len(built) == number
    assert (folder / "run/model/model.safetensors").read_bytes() == (
        wanted / "run/model/model.safetensors"
    ).read_bytes()


def stopped(path, settings, at):
    def strike(event):
        if event.kind == "step" and event.step == at:
            raise KeyboardInterrupt

    run_tuning(load_recipe(path, settings), "dpo", Silent(strike), resume=True)


@pytest.mark.parametrize(("settings", "number"), [((), 1), (ADAPTS, 0)], ids=["all", "lora"])
def test_rewards_hold_to_the_model_with_its_adapters_lifted_off(tmp_path, built, settings, number):
    tune(write_recipe(tmp_path, "grpo"), "grpo", ("budget.steps=3", "tune.beta=0.1", *settings))
    assert len(built) == number


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["f32", "bf16"])
def test_a_model_without_its_adapters_is_the_base_bit_for_bit(tmp_path, dtype):
    write_model(tmp_path / "base", qkv_bias=True, o_bias=True)
    base = open_base(str(tmp_path / "base"), 64)
    targets = ("q_proj", "v_proj", "down_proj", "o_proj")
    adapters = LoraAdapters(base, LoraSettings(rank=3, alpha=5.0, dropout=0.5, targets=targets), seed=7)
    model = Llama(base.config)
    adapters.adapt(model, dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".adapter." in name:
                parameter.normal_()
    ids = torch.arange(40).view(2, 20)
    names = [name for name, _ in model.named_parameters()]
    with torch.no_grad():
        wanted = base.llama()(ids, dtype=dtype)
        with adapters.lifted(model):
            assert torch.equal(model(ids, dtype=dtype), wanted)
        assert not torch.equal(model(ids, dtype=dtype), wanted)
    assert sorted(name for name, _ in model.named_parameters()) == sorted(names)
