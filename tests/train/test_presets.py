"""What ``[model]`` says besides sizes: presets of parts, single parts, and what the models of either can do."""

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

import textmill  # noqa: E402
from textmill.base.errors import ConfigError  # noqa: E402
from textmill.base.events import read_events  # noqa: E402
from textmill.checkpoint.convert import convert  # noqa: E402
from textmill.checkpoint.huggingface import load_llama, load_tensors  # noqa: E402
from textmill.checkpoint.store import list_checkpoints, load_checkpoint  # noqa: E402
from textmill.cli.run_sampler import write_sample  # noqa: E402
from textmill.model.family import NOT_EXPORTED  # noqa: E402
from textmill.train.dial.derive import derive  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.planned_model import planned_model  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402

STABLE = ("schedule.decay_fraction=0.5", "checkpoint.keep=9", "checkpoint.every_steps=2")


def planned(*settings):
    """The model of the ``tiny`` recipe with these settings."""
    recipe = load_recipe("tiny", ["budget.steps=9", *settings])
    return planned_model(derive(recipe, vocab_size=4096).recipe)


def parts(config):
    return config.model_type, config.qk_norm, config.value_embeddings


class TestTheTable:
    def test_parts_are_laid_over_the_sizes_of_a_preset(self):
        plain = planned()
        assert parts(plain) == ("llama", False, False)
        normed, own = planned("model.qk_norm=true"), planned("model.value_embeddings=true")
        assert parts(normed) == ("qwen3", True, False)
        assert parts(own) == ("textmill", False, True)
        assert plain.num_layer_parameters == own.num_layer_parameters

    @pytest.mark.parametrize(
        ("preset", "expected"), [("llama", ("llama", False, False)), ("fast", ("textmill", True, True))]
    )
    def test_a_preset_of_parts_leaves_the_size_to_params(self, preset, expected):
        config = planned(f"model.preset={preset}", "model.params=20M")
        assert parts(config) == expected
        assert config.num_parameters == pytest.approx(20e6, rel=0.1)

    def test_the_preset_llama_is_what_params_alone_give(self):
        assert planned("model.params=20M", "model.preset=llama") == planned("model.params=20M")

    def test_or_to_fields(self):
        sizes = ("hidden_size=64", "intermediate_size=96", "num_hidden_layers=3", "num_attention_heads=2")
        config = planned("model.preset=fast", *(f"model.{size}" for size in sizes))
        assert (*parts(config), config.hidden_size, config.head_dim) == ("textmill", True, True, 64, 32)
        assert parts(planned("model.preset=fast", "model.value_embeddings=false", "model.params=20M"))[0] == "qwen3"

    def test_a_size_that_is_set_leaves_parts_alone(self, tmp_path):
        path = write_recipe(tmp_path)
        text = path.read_text()
        begin, end = text.index("hidden_size"), text.index("[data.sources.words]")
        path.write_text(f'{text[:begin]}preset = "fast"\n\n{text[end:]}')
        recipe = load_recipe(path, ["model.params=1M"])
        assert (recipe.model.preset, recipe.model.num_parameters) == ("fast", 1_000_000)
        path.write_text(f'{text[:begin]}params = "1M"\n\n{text[end:]}')
        recipe = load_recipe(path, ["model.preset=fast"])
        assert (recipe.model.preset, recipe.model.num_parameters) == ("fast", 1_000_000)
        assert load_recipe(path, ["model.preset=tiny"]).model.num_parameters is None

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (["model.preset=fats"], 'model.preset "fats" is unknown; did you mean "fast"'),
            (["model.preset=fast"], "lacks hidden_size, num_hidden_layers; give a preset"),
            (["model.from=x", "model.qk_norm=true"], "leave preset, qk_norm out"),
            (["model.qk_norm=1"], "must be true or false"),
        ],
    )
    def test_what_cannot_be_is_named(self, settings, message):
        with pytest.raises(ConfigError, match=message):
            planned(*settings)


class Told(Silent):
    """Keeps what is said."""

    def __init__(self, on_event=None):
        super().__init__(on_event)
        self.said = []

    def say(self, message):
        self.said.append(message)


def train(path, *settings, listener=None, resume=False, sampler=None):
    return run_recipe(load_recipe(path, settings), listener or Silent(), resume=resume, sampler=sampler).folder


@pytest.mark.peer
@pytest.mark.parametrize(("setting", "kind"), [("model.preset=llama", "Llama"), ("model.qk_norm=true", "Qwen3")])
def test_transformers_loads_what_can_be_exported(tmp_path, setting, kind):
    from transformers import AutoModelForCausalLM

    listener = Told()
    run = train(write_recipe(tmp_path), setting, listener=listener)
    assert NOT_EXPORTED not in listener.said
    peer = AutoModelForCausalLM.from_pretrained(run / "model").eval()
    assert type(peer).__name__ == f"{kind}ForCausalLM"
    ids = 7 + torch.arange(30)[None]
    with torch.no_grad():
        torch.testing.assert_close(load_llama(run / "model")(ids), peer(ids).logits, rtol=0, atol=1e-4)
    convert(run / "model", tmp_path / "x.gguf")
    lm = textmill.load(tmp_path / "x.gguf", kv="f32")
    assert np.abs(lm.logits(ids[0].tolist()) - peer(ids).logits[0].detach().numpy()).max() < 1e-3


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    """A finished run of the preset ``fast``, with what was said, and its recipe."""
    path = write_recipe(tmp_path_factory.mktemp("fast"))
    listener = Told()
    run = train(path, "model.preset=fast", *STABLE, listener=listener, sampler=write_sample)
    return run, listener, path


class TestFast:
    def test_it_is_told_once_at_the_start_that_it_cannot_be_exported(self, fast):
        _, listener, _ = fast
        assert listener.said.count(NOT_EXPORTED) == 1
        assert listener.said[0] == NOT_EXPORTED
        assert "neither transformers nor GGUF" in NOT_EXPORTED

    def test_it_is_not_converted(self, fast, tmp_path):
        run, _, _ = fast
        for target in ("x.gguf", "folder"):
            with pytest.raises(ConfigError, match='To export a model, train one with .* preset = "llama"'):
                convert(run / "model", tmp_path / target)
        assert list(tmp_path.iterdir()) == []

    def test_its_folder_says_so_and_runs_here(self, fast):
        run, listener, _ = fast
        assert "runs in textmill alone" in (run / "model" / "README.md").read_text()
        lm = textmill.load(run / "model", kv="f32")
        assert (lm.config.model_type, lm.config.value_embeddings) == ("textmill", True)
        ids = [7, 3, 250, 8, 9, 3]
        with torch.no_grad():
            logits = load_llama(run / "model")(torch.tensor([ids]))[0].numpy()
        assert np.abs(lm.logits(ids) - logits).max() < 1e-4
        assert len(lm.generate("the quick", max_tokens=5, ignore_eos=True).ids) == 5
        assert [event.kind for event in listener.events].count("sample") == 3
        assert not any(event.kind == "sample_failed" for event in listener.events)

    def test_every_part_of_it_is_trained(self, fast):
        run, _, _ = fast
        tensors = load_tensors(run / "model")
        tables = {name for name in tensors if "value_embeddings" in name}
        assert tables == {"model.layers.1.self_attn.value_embeddings.weight"}
        assert all(np.abs(tensors[name]).max() > 1e-3 for name in tensors)

    def test_killed_and_resumed_it_is_the_same(self, fast, tmp_path):
        def kill(event):
            if event.kind == "step" and event.step == 7:
                raise RuntimeError("killed")

        path = write_recipe(tmp_path)
        with pytest.raises(RuntimeError, match="killed"):
            train(path, "model.preset=fast", *STABLE, listener=Silent(kill))
        run = train(path, "model.preset=fast", *STABLE, resume=True)
        assert same(tensors(run), tensors(fast[0]))

    def test_it_is_branched_from(self, fast, tmp_path):
        run, _, path = fast
        branch = (f"run.dir={tmp_path / 'branch'}", f"run.branch={run}@6", "budget.steps=6")
        assert same(tensors(train(path, "model.preset=fast", *STABLE, *branch)), tensors(run))


def tensors(run):
    checkpoint = load_checkpoint(list_checkpoints(run)[-1])
    return {**checkpoint.model, **checkpoint.optimizer}


def scores(run):
    events = read_events(run / "events.jsonl")
    return [event.fields["bits_per_byte"]["all"] for event in events if event.kind == "eval"]


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


AVERAGED = ("optimizer.ema_decay=0.9", "eval.every_steps=6")


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """A finished run that kept its weights' average."""
    return train(write_recipe(tmp_path_factory.mktemp("averaged")), *AVERAGED)


class TestAverage:
    def test_it_is_the_finished_model(self, averaged):
        checkpoint = load_checkpoint(list_checkpoints(averaged)[-1])
        finished = load_tensors(averaged / "model")
        for name, tensor in finished.items():
            assert np.array_equal(tensor, checkpoint.optimizer[f"{name}/ema"]), name
            assert not np.array_equal(tensor, checkpoint.model[name]), name

    def test_it_changes_validation_and_nothing_of_the_steps(self, averaged, tmp_path):
        without = train(write_recipe(tmp_path), "eval.every_steps=6")
        one, other = tensors(averaged), tensors(without)
        assert all(np.array_equal(one[name], other[name]) for name in other)
        assert all(one != other for one, other in zip(scores(averaged), scores(without), strict=True))

    def test_killed_and_resumed_it_is_the_same(self, averaged, tmp_path):
        def kill(event):
            if event.kind == "step" and event.step == 8:
                raise RuntimeError("killed")

        path = write_recipe(tmp_path)
        with pytest.raises(RuntimeError, match="killed"):
            train(path, *AVERAGED, listener=Silent(kill))
        run = train(path, *AVERAGED, resume=True)
        assert same(tensors(run), tensors(averaged))
        assert same(load_tensors(run / "model"), load_tensors(averaged / "model"))


def test_the_logged_loss_has_no_z_loss_in_it(tmp_path):
    """The first step's is that of the same weights; the steps after differ."""

    def losses(run):
        return [event.fields["loss"] for event in read_events(run / "events.jsonl") if event.kind == "step"]

    plain = losses(train(write_recipe(tmp_path / "plain")))
    held = losses(train(write_recipe(tmp_path / "held"), "optimizer.z_loss=0.1"))
    assert held[0] == plain[0]
    assert held[5] != plain[5]
