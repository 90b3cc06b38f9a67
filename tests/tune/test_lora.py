"""Adapters: their products beside plain torch, what is learned and what is not, their files, and bases of others."""

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import textmill
from fakes.tiny_model import write_model
from textmill.base.errors import ConfigError, DataError
from textmill.base.safetensors import load, save
from textmill.checkpoint.adapter_files import Factors, merged
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.huggingface import load_tensors
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.stored_model import open_model
from textmill.cli import main
from textmill.model.llama import Llama
from textmill.model.loss import summed_nats
from textmill.tune.base_model import open_base
from textmill.tune.lora import LoraAdapters, LoraSettings
from tune.tiny_tuning import tune, write_recipe

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA = ("tune.rank=4", "tune.dropout=0.1", "schedule.peak_lr=3e-2")


def adapted(folder, dtype=torch.float32, *, targets=ALL, dropout=0.0, **sizes):
    """A tiny base with adapters whose factors are both random."""
    write_model(folder / "base", **sizes)
    base = open_base(str(folder / "base"), 64)
    adapters = LoraAdapters(base, LoraSettings(rank=3, alpha=5.0, dropout=dropout, targets=targets), seed=7)
    model = Llama(base.config)
    adapters.adapt(model, dtype)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, first in adapters.first_weights().items():
            model.get_parameter(name).copy_(first if "lora_A" in name else torch.randn(first.shape, generator=rng) / 9)
    return base, adapters, model


def plain(base, adapters, model):
    """The same model with products of factors added to its matrices, by autograd."""
    factors = {name: p.detach().double().requires_grad_() for name, p in model.named_parameters() if p.requires_grad}
    twin = Llama(base.config).double()
    weights = {}
    for name, values in base.weights().items():
        whole = torch.from_numpy(np.ascontiguousarray(values)).double()
        stem = name.removesuffix("weight") + "adapter."
        if f"{stem}lora_A.weight" in factors:
            whole = whole + 5 / 3 * factors[f"{stem}lora_B.weight"] @ factors[f"{stem}lora_A.weight"]
        weights[name] = whole
    return twin, weights, factors


IDS = torch.from_numpy(np.random.default_rng(2).integers(0, 300, (2, 20)))


@pytest.mark.parametrize("remat", ["none", "llama", "full"])
@pytest.mark.parametrize(
    ("targets", "sizes"),
    [
        (ALL, {}),
        (("q_proj", "down_proj"), {}),
        (ALL, {"qkv_bias": True, "o_bias": True}),
        (("layers.1.self_attn.o_proj",), {}),
    ],
    ids=["all", "some", "biases", "one"],
)
def test_loss_and_gradients_are_those_of_whole_matrices(tmp_path, remat, targets, sizes):
    base, adapters, model = adapted(tmp_path, targets=targets, **sizes)
    twin, weights, factors = plain(base, adapters, model)
    states = torch.func.functional_call(
        twin.model, {n[6:]: w for n, w in weights.items() if n[:6] == "model."}, (IDS, None)
    )
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    wanted = torch.nn.functional.cross_entropy((states @ head.t()).flatten(0, 1), IDS.flatten(), reduction="sum")
    wanted.backward()
    loss = summed_nats(model, model.backbone(IDS, remat=remat), IDS)
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad.double(), factors[name].grad, rtol=1e-3, atol=1e-4, msg=name)
        else:
            assert parameter.grad is None, name
    assert len(factors) == 2 * sum(name.endswith("lora_A.weight") for name in factors) > 0


def test_dropout_is_of_the_step_and_the_pass_alone(tmp_path):
    _, adapters, model = adapted(tmp_path, dropout=0.5)

    def losses(step, remat="none"):
        adapters.begin_step(step)
        found = []
        for _ in range(2):
            loss = summed_nats(model, model.backbone(IDS, remat=remat), IDS)
            model.zero_grad()
            loss.backward()
            found.append(
                (loss.item(), model.get_parameter("model.layers.0.mlp.up_proj.adapter.lora_A.weight").grad.clone())
            )
        return found

    first = losses(3)
    again = losses(3, remat="full")
    assert [loss for loss, _ in first] == [loss for loss, _ in again]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(first, again, strict=True))
    assert first[0][0] != first[1][0] != losses(4)[0][0]
    with torch.no_grad():
        assert (
            summed_nats(model, model.backbone(IDS), IDS).item() == summed_nats(model, model.backbone(IDS), IDS).item()
        )


def test_dropped_inputs_are_the_gradients_too(tmp_path):
    """A finite difference of the loss along a factor, with the same inputs dropped."""
    _, adapters, model = adapted(tmp_path, dropout=0.4)
    model.double()
    factor = model.get_parameter("model.layers.0.self_attn.v_proj.adapter.lora_A.weight")

    def loss():
        adapters.begin_step(1)
        return summed_nats(model, model.backbone(IDS), IDS)

    loss().backward()
    direction = torch.randn(factor.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    slope = (factor.grad * direction).sum().item()
    values = []
    for side in (1e-5, -2e-5):
        with torch.no_grad():
            factor += side * direction
        values.append(loss().item())
    assert (values[0] - values[1]) / 2e-5 == pytest.approx(slope, rel=1e-5)


def test_merging_rounds_once():
    rng = np.random.default_rng(1)
    weight, a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 5), (2, 5), (6, 2)))
    wanted = np.array(
        [
            [
                np.float32(float(weight[o, i]) + 1.5 * sum(float(b[o, r]) * float(a[r, i]) for r in range(2)))
                for i in range(5)
            ]
            for o in range(6)
        ]
    )
    np.testing.assert_allclose(merged(weight, Factors(a, b), 1.5), wanted, rtol=1.2e-7)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that learned adapters."""
    folder = tmp_path_factory.mktemp("lora")
    tune(write_recipe(folder, "sft"), "sft", (*LORA, "tune.epochs=12"))
    return folder


def test_a_run_learns_adapters_and_leaves_them_alone_and_merged(run):
    steps = [json.loads(line) for line in (run / "run/events.jsonl").read_text().splitlines()]
    losses = [step["loss"] for step in steps if step["kind"] == "step"]
    assert losses[-1] < 0.8 * losses[0]
    learned = load(run / "run/adapter/adapter_model.safetensors")
    assert set(learned) == {
        f"base_model.model.model.layers.{layer}.{part}.lora_{factor}.weight"
        for layer in range(2)
        for part in (*(f"self_attn.{name}" for name in ALL[:4]), *(f"mlp.{name}" for name in ALL[4:]))
        for factor in "AB"
    }
    base, whole = load_tensors(run / "base"), load_tensors(run / "run/model")
    for name, values in whole.items():
        changed = not np.array_equal(values, base[name])
        assert changed == name.endswith("_proj.weight"), name


@pytest.mark.parametrize("place", ["run/adapter", "run"])
def test_an_adapter_opens_as_the_merged_model(run, place):
    """``run`` is its last checkpoint, which holds the adapter alone."""
    stored = open_model(resolve_model(run / place))
    whole = load_tensors(run / "run/model")
    for name, tensor in stored.tensors.items():
        assert np.array_equal(read_values(tensor), whole[name]), name
    options = {"max_tokens": 5, "temperature": 0.0}
    messages = [{"role": "user", "content": "the fox"}]
    said = [textmill.load(run / path).chat(messages, **options).ids for path in (place, "run/model")]
    assert said[0] == said[1]


def test_an_adapter_is_shown_and_converted(run, tmp_path, capsys):
    assert main(["model", "show", str(run / "run/adapter")]) == 0
    assert "adapter of rank 4 on base" in capsys.readouterr().out
    assert main(["model", "convert", str(run / "run/adapter"), str(tmp_path / "merged")]) == 0
    whole, merged_there = load_tensors(run / "run/model"), load_tensors(tmp_path / "merged")
    assert all(np.array_equal(values, merged_there[name]) for name, values in whole.items())


def test_a_checkpoint_holds_no_weight_of_the_base(run):
    folder = resolve_model(run / "run")
    assert all(".lora_" in name for name in load(folder / "model.safetensors"))
    assert not (folder / "config.json").exists()
    assert sum(p.stat().st_size for p in folder.glob("*.safetensors")) < 6 * 4 * 4 * 2 * 7 * 160


def copied(run, tmp_path, **changes):
    folder = tmp_path / "adapter"
    folder.mkdir()
    for path in (run / "run/adapter").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | changes))
    return folder


def test_an_adapter_for_another_base_is_refused_by_name(run, tmp_path):
    write_model(tmp_path / "wide", intermediate_size=96)
    folder = copied(run, tmp_path, base_model_name_or_path=str(tmp_path / "wide"))
    with pytest.raises(
        DataError, match=rf"{folder} is an adapter for another model than {tmp_path / 'wide'}: it changes .*mlp"
    ):
        open_model(folder)
    write_model(tmp_path / "other")
    tensors = load(tmp_path / "other/model.safetensors")
    save(tmp_path / "other/model.safetensors", {name: values + 1 for name, values in tensors.items()})
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": "../other"}))
    with pytest.raises(DataError, match="another model than .*sizes are the same, and weights are not"):
        open_model(folder)
    write_model(tmp_path / "other")
    open_model(folder)
    last = {name: values.copy() for name, values in tensors.items()}
    last["model.layers.1.mlp.up_proj.weight"][-1, -1] += 1e-3
    save(tmp_path / "other/model.safetensors", last)
    with pytest.raises(DataError, match="weights are not"):
        open_model(folder)
    (folder / "adapter_base.json").unlink()  # as PEFT writes adapters, without a fingerprint
    open_model(folder)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"base_model_name_or_path": "nowhere/at-all"}, "is an adapter for a model that is not here"),
        ({"base_model_name_or_path": None}, "base_model_name_or_path is None"),
        ({"base_model_name_or_path": "."}, "its own base"),
        ({"peft_type": "IA3"}, "only LORA"),
        ({"use_dora": True}, "use_dora is True, which is not reproduced"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_qalora": True}, "use_qalora is True, which is not reproduced"),
        ({"use_lora_of_tomorrow": {"a": 1}}, "use_lora_of_tomorrow is {'a': 1}, and is no key that is known"),
        ({"r": 5}, r"have the ranks \(4, 4\), and adapter_config.json says 5"),
        ({"r": 0}, "r is 0"),
        ({"lora_alpha": "a"}, "lora_alpha is 'a'"),
    ],
)
def test_configurations_that_are_refused(run, tmp_path, changes, what):
    with pytest.raises(DataError, match=what):
        open_model(copied(run, tmp_path, **changes))


# As PEFT 0.21 writes one.
OF_PEFT = {
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "arrow_config": None,
    "auto_mapping": None,
    "bias": "none",
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "kasa_config": None,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_bias": False,
    "lora_ga_config": None,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "monteclora_config": None,
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "rank_pattern": {},
    "revision": None,
    "target_parameters": None,
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_bdlora": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
    "velora_config": None,
}


def test_keys_of_pefts_that_change_nothing_are_passed_over(run, tmp_path):
    open_model(copied(run, tmp_path, **OF_PEFT))


def test_files_of_adapters_that_are_refused(run, tmp_path):
    folder = copied(run, tmp_path)
    path = folder / "adapter_model.safetensors"
    tensors = load(path)
    name = next(iter(tensors))
    save(path, {key: values for key, values in tensors.items() if key != name})
    with pytest.raises(DataError, match="lacks one of the two factors"):
        open_model(folder)
    save(path, tensors | {"base_model.model.model.embed_tokens.lora_embedding_A": np.zeros((2, 2), np.float32)})
    with pytest.raises(DataError, match="no factor of a linear layer's adapter"):
        open_model(folder)
    path.unlink()
    (folder / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(DataError, match="is a pickle"):
        open_model(folder)


def test_a_resume_with_another_base_is_refused(tmp_path):
    path = write_recipe(tmp_path, "sft")
    tune(path, "sft", (*LORA, "tune.epochs=1"))
    tensors = load(tmp_path / "base/model.safetensors")
    save(tmp_path / "base/model.safetensors", {name: values + 1 for name, values in tensors.items()})
    with pytest.raises(DataError, match=f"{tmp_path / 'base'} is not the model that .* began with"):
        tune(path, "sft", (*LORA, "tune.epochs=1"))


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (("tune.alpha=8",), "give tune.rank, too"),
        (("tune.rank=0",), "tune.rank is 0"),
        (("tune.rank=4", "tune.alpha=0"), "tune.alpha is 0"),
        (("tune.rank=4", "tune.dropout=1"), "tune.dropout is 1"),
        (("tune.rank=4", "tune.targets=[]"), "tune.targets is empty"),
        (("tune.rank=4", 'tune.targets=["qproj"]'), 'names "qproj".*did you mean "q_proj"'),
        (("tune.rank=4", 'tune.targets=["lm_head"]'), "names lm_head"),
        (("tune.rank=4", "optimizer.kind=muon"), "learned by AdamW"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, settings, what):
    with pytest.raises(ConfigError, match=what):
        tune(write_recipe(tmp_path, "sft"), "sft", settings)
