"""Adapters: their products beside plain torch, what is learned and what is not, their files, and bases of others."""

import json
import shutil
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import textmill
from fakes.tiny_adapter import write_random_adapter
from fakes.tiny_model import write_model
from textmill.base.errors import ConfigError, DataError
from textmill.base.safetensors import load, save
from textmill.checkpoint.adapter_files import Factors, merged
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.describe import describe
from textmill.checkpoint.huggingface import load_tensors
from textmill.checkpoint.sources import resolve_model
from textmill.checkpoint.stored_model import open_model
from textmill.checkpoint.tensors import cast
from textmill.cli import main
from textmill.cli.arguments import in_options
from textmill.infer.reference import logits_of
from textmill.model.llama import Llama
from textmill.model.loss import summed_nats
from textmill.model.token_nats import token_nats
from textmill.tune.base_model import open_base
from textmill.tune.lora import LoraAdapters, LoraSettings
from tune.tiny_tuning import tune, write_recipe

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LORA = ("tune.rank=4", "tune.dropout=0.1", "schedule.peak_lr=3e-2")


def adapted(folder, dtype=torch.float32, *, targets=ALL, dropout=0.0, dora=False, **sizes):
    """A tiny base with adapters whose factors are both random."""
    write_model(folder / "base", **sizes)
    base = open_base(str(folder / "base"), 64)
    adapters = LoraAdapters(base, LoraSettings(rank=3, alpha=5.0, dropout=dropout, targets=targets, dora=dora), seed=7)
    model = Llama(base.config)
    adapters.adapt(model, dtype)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, first in adapters.first_weights().items():
            more = torch.randn(first.shape, generator=rng) / 9
            model.get_parameter(name).copy_(more if "lora_B" in name else first if "lora_A" in name else first + more)
    return base, adapters, model


def plain(base, adapters, model):
    """The same model with products of factors added to its matrices, by autograd."""
    factors = {name: p.detach().double().requires_grad_() for name, p in model.named_parameters() if p.requires_grad}
    twin = Llama(base.config).double()
    weights, stored = {}, dict(base.weights())
    stored.setdefault("lm_head.weight", stored["model.embed_tokens.weight"])
    for name, values in stored.items():
        whole = torch.from_numpy(np.ascontiguousarray(values)).double()
        stem = name.removesuffix("weight") + "adapter."
        if f"{stem}lora_A.weight" in factors:
            whole = whole + 5 / 3 * factors[f"{stem}lora_B.weight"] @ factors[f"{stem}lora_A.weight"]
        if f"{stem}lora_magnitude_vector" in factors:
            norm = whole.detach().norm(dim=1)
            whole = (factors[f"{stem}lora_magnitude_vector"] / norm)[:, None] * whole
        weights[name] = whole
    return twin, weights, factors


def check_gradients(model, factors):
    """Of factors they are the twin's, and there are no others."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter.grad.double(), factors[name].grad, rtol=1e-3, atol=1e-4, msg=name)
        else:
            assert parameter.grad is None, name


IDS = torch.from_numpy(np.random.default_rng(2).integers(0, 300, (2, 20)))


@pytest.mark.parametrize("remat", ["none", "llama", "full"])
@pytest.mark.parametrize(
    ("targets", "sizes"),
    [
        (ALL, {}),
        (("q_proj", "down_proj"), {}),
        (ALL, {"qkv_bias": True, "o_bias": True}),
        (("layers.1.self_attn.o_proj",), {}),
        ((*ALL, "lm_head"), {}),
        (("q_proj", "lm_head"), {"tie_word_embeddings": True}),
        (ALL, {"dora": True}),
        (("q_proj", "up_proj"), {"dora": True, "qkv_bias": True, "o_bias": True}),
    ],
    ids=["all", "some", "biases", "one", "head", "tied", "dora", "some dora"],
)
def test_loss_and_gradients_are_those_of_whole_matrices(tmp_path, remat, targets, sizes):
    base, adapters, model = adapted(tmp_path, targets=targets, **sizes)
    twin, weights, factors = plain(base, adapters, model)
    states = torch.func.functional_call(
        twin.model, {n[6:]: w for n, w in weights.items() if n[:6] == "model."}, (IDS, None)
    )
    logits = states @ weights["lm_head.weight"].t()
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), IDS.flatten(), reduction="sum")
    wanted.backward()
    torch.testing.assert_close(model(IDS).double(), logits, rtol=1e-3, atol=1e-4)
    loss = summed_nats(model, model.backbone(IDS, remat=remat), IDS)
    loss.backward()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    check_gradients(model, factors)
    model.zero_grad()
    x_ND = model.backbone(IDS, remat=remat).flatten(0, 1)
    nats_N = token_nats(x_ND, model.head_weight, IDS.flatten(), model.head_adapter(x_ND))
    nats_N.sum().backward()
    assert nats_N.sum().item() == pytest.approx(wanted.item(), rel=1e-5)
    check_gradients(model, factors)
    num_parts = 3 if sizes.get("dora") else 2
    assert len(factors) == num_parts * sum(name.endswith("lora_A.weight") for name in factors) > 0


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


@pytest.mark.parametrize("layer", ["model.layers.0.self_attn.v_proj", "lm_head"])
def test_dropped_inputs_are_the_gradients_too(tmp_path, layer):
    """A finite difference of the loss along a factor, with the same inputs dropped."""
    _, adapters, model = adapted(tmp_path, targets=(*ALL, "lm_head"), dropout=0.4)
    model.double()
    factor = model.get_parameter(f"{layer}.adapter.lora_A.weight")

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


def test_merging_scales_rows_to_their_magnitudes():
    rng = np.random.default_rng(1)
    weight, a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 5), (2, 5), (6, 2)))
    weight[3] = b[3] = 0
    magnitude = np.array([1, 2, 0.5, 0, -1, 0], np.float32)
    whole = merged(weight, Factors(a, b, magnitude), 1.5)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), abs(magnitude), rtol=1e-6)
    rows = merged(weight, Factors(a, b), 1.5)
    for row in (0, 1, 2, 4):
        np.testing.assert_allclose(whole[row], rows[row] * magnitude[row] / np.linalg.norm(rows[row]), rtol=1e-6)


@pytest.mark.parametrize("magnitude", [None, np.full(6_000, 2, np.float32)], ids=["factors", "magnitudes"])
def test_merging_takes_little_more_memory_than_the_matrix(magnitude):
    """A head has more values than a block: three copies of it in float64 were half as much again as a small model."""
    rng = np.random.default_rng(1)
    weight, a, b = (rng.standard_normal(shape, np.float32) for shape in ((6_000, 1_000), (4, 1_000), (6_000, 4)))
    factors = Factors(a, b, magnitude)
    tracemalloc.start()
    whole = merged(weight, factors, 1.5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * whole.nbytes
    at_once = weight[-100:] + 1.5 * (b[-100:].astype(float) @ a)
    if magnitude is not None:
        at_once *= 2 / np.linalg.norm(at_once, axis=1, keepdims=True)
    np.testing.assert_allclose(whole[-100:], at_once, rtol=1.2e-7)


def test_merging_a_model_takes_the_memory_that_is_planned_for_it(tmp_path):
    """The merged model's, a head of its own included; a few rows at once lie beside it."""
    sizes = {"tie_word_embeddings": True, "vocab_size": 8_000, "hidden_size": 1_024}
    _, adapters, model = adapted(tmp_path, targets=("q_proj", "lm_head"), **sizes)
    num_bytes = 4 * adapters.merged_config.num_parameters
    tracemalloc.start()
    whole = adapters.merged(model)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sum(values.nbytes for values in whole.values()) == num_bytes
    assert peak < 1.1 * num_bytes


def test_a_new_adapter_changes_nothing_with_magnitudes_either(tmp_path):
    write_model(tmp_path / "base")
    tensors = load(tmp_path / "base/model.safetensors")
    pruned = "model.layers.0.mlp.gate_proj.weight"
    tensors[pruned] = tensors[pruned].copy()
    tensors[pruned][5] = 0
    save(tmp_path / "base/model.safetensors", tensors)
    base = open_base(str(tmp_path / "base"), 64)
    adapters = LoraAdapters(base, LoraSettings(rank=3, alpha=5.0, dropout=0.0, targets=ALL, dora=True), seed=7)
    model = Llama(base.config)
    adapters.adapt(model, torch.float32)
    with torch.no_grad():
        for name, first in adapters.first_weights().items():
            model.get_parameter(name).copy_(first)
    torch.testing.assert_close(model(IDS), base.llama()(IDS), rtol=1e-4, atol=1e-5)
    summed_nats(model, model.backbone(IDS), IDS).backward()
    magnitude = model.get_parameter("model.layers.0.mlp.gate_proj.adapter.lora_magnitude_vector")
    assert magnitude.grad.isfinite().all()
    assert magnitude.grad[5] == 0
    for name, values in adapters.merged(model).items():
        np.testing.assert_allclose(values, tensors[name], rtol=1e-5, atol=1e-7, err_msg=name)


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


def test_a_run_learns_magnitudes(tmp_path):
    tune(write_recipe(tmp_path, "sft"), "sft", (*LORA, "tune.dora=true", "tune.epochs=4"))
    learned = load(tmp_path / "run/adapter/adapter_model.safetensors")
    base, whole = load_tensors(tmp_path / "base"), load_tensors(tmp_path / "run/model")
    magnitudes = {name: values for name, values in learned.items() if name.endswith(".lora_magnitude_vector")}
    assert len(magnitudes) == 14
    for name, values in magnitudes.items():
        matrix = name.removeprefix("base_model.model.").removesuffix(".lora_magnitude_vector") + ".weight"
        np.testing.assert_allclose(np.linalg.norm(whole[matrix], axis=1), abs(values), rtol=1e-5)
        assert not np.allclose(np.linalg.norm(base[matrix], axis=1), values, rtol=1e-3)
    for place in ("run", "run/adapter"):
        stored = open_model(resolve_model(tmp_path / place))
        assert all(np.array_equal(read_values(tensor), whole[name]) for name, tensor in stored.tensors.items())
    assert describe(tmp_path / "run/adapter").format.startswith("DoRA adapter of rank 4 on base")
    told = "use_dora is True, and rows are scaled .* only in an adapter that is merged"
    with pytest.raises(DataError, match=told) as refused:
        textmill.load(tmp_path / "base", adapters={"scaled": tmp_path / "run/adapter"})
    assert in_options(str(refused.value), ["serve", "base", "--adapter", "scaled=run"]) == str(refused.value)


def test_an_adapter_is_shown_and_converted(run, tmp_path, capsys):
    assert main(["model", "show", str(run / "run/adapter")]) == 0
    assert "adapter of rank 4 on base" in capsys.readouterr().out
    assert main(["model", "convert", str(run / "run/adapter"), str(tmp_path / "merged")]) == 0
    whole, merged_there = load_tensors(run / "run/model"), load_tensors(tmp_path / "merged")
    assert all(np.array_equal(values, merged_there[name]) for name, values in whole.items())


@pytest.mark.parametrize("tied", [True, False])
def test_a_head_is_adapted_and_a_table_that_is_tied_to_it_stays(tmp_path, tied):
    """What a run leaves is a model with a head of its own, from its adapter as from its folder."""
    path = write_recipe(tmp_path, "sft")
    write_model(tmp_path / "base", tie_word_embeddings=tied)
    tune(path, "sft", (*LORA, "tune.epochs=1", 'tune.targets=["q_proj", "lm_head"]'))
    base, whole = load_tensors(tmp_path / "base"), load_tensors(tmp_path / "run/model")
    table = "model.embed_tokens.weight"
    assert np.array_equal(whole[table], base[table])
    assert not np.array_equal(whole["lm_head.weight"], base.get("lm_head.weight", base[table]))
    stored = open_model(tmp_path / "run/adapter")
    assert not stored.config.tie_word_embeddings
    assert stored.config == open_model(tmp_path / "run/adapter", headers_only=True).config
    assert set(stored.tensors) == set(whole)
    facts = describe(tmp_path / "run/adapter")
    assert facts.config == stored.config
    assert facts.num_parameters == sum(values.size for values in whole.values())
    assert all(np.array_equal(read_values(tensor), whole[name]) for name, tensor in stored.tensors.items())
    ids = [5, 6, 7, 8]
    logits = [
        textmill.load(tmp_path / path, weights="f32", kv="f32").logits(ids)
        for path in ("run/adapter", "run/model", "base")
    ]
    assert np.array_equal(logits[0], logits[1])
    assert not np.allclose(logits[0], logits[2], atol=1e-2)
    wanted = logits_of(stored.config, whole, ids)
    np.testing.assert_allclose(logits[0], wanted, rtol=1e-3, atol=1e-3)
    target = tmp_path / "merged.gguf"
    assert main(["model", "convert", str(tmp_path / "run/adapter"), str(target)]) == 0
    assert np.array_equal(read_values(open_model(target).tensors["lm_head.weight"]), whole["lm_head.weight"])


def test_answers_are_drawn_with_a_head_of_its_own_where_a_tied_one_learns(tmp_path):
    path = write_recipe(tmp_path, "grpo")
    write_model(tmp_path / "base", tie_word_embeddings=True)
    settings = ("tune.rank=4", 'tune.targets=["lm_head"]', "budget.steps=4", "schedule.peak_lr=0.3", "tune.beta=0.1")
    tune(path, "grpo", settings)
    steps = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    rewards = [step["reward"] for step in steps if step["kind"] == "step"]
    assert rewards[-1] > 3 * rewards[0]
    assert not open_model(tmp_path / "run/model").config.tie_word_embeddings


def test_an_adapter_on_top_of_another_is_one_for_the_merged_model(run, tmp_path):
    """It opens without the first one, which PEFT would not find beneath it."""
    first = tmp_path / "first"
    shutil.copytree(run / "run/adapter", first)
    path = write_recipe(tmp_path, "sft")
    settings = (*LORA, "tune.epochs=1", f"tune.model={first}", "run.seed=5")
    listener = tune(path, "sft", settings)
    assert any(f"{first} is an adapter" in said for said in listener.said)
    config = json.loads((tmp_path / "run/adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tmp_path / "run/base")
    merged_first, base = load_tensors(run / "run/model"), load_tensors(tmp_path / "run/base")
    assert all(np.array_equal(values, base[name]) for name, values in merged_first.items())
    tune(path, "sft", settings)  # goes on where it is done
    shutil.rmtree(first)
    whole = load_tensors(tmp_path / "run/model")
    for place in ("run", "run/adapter"):
        stored = open_model(resolve_model(tmp_path / place))
        assert all(np.array_equal(read_values(tensor), whole[name]) for name, tensor in stored.tensors.items())
    path = write_recipe(tmp_path / "whole", "sft")
    tune(path, "sft", (f"tune.model={tmp_path / 'run/adapter'}", "tune.epochs=1"))
    assert not (tmp_path / "whole/run/base").exists(), "all weights are learned, and none is named"


def test_a_base_that_holds_an_adapters_files_beside_its_own_is_the_model_there(run, tmp_path):
    """As it is wherever else its folder is given."""
    both = tmp_path / "both"
    write_model(both)
    base = {name: values + 1 for name, values in load_tensors(both).items()}
    save(both / "model.safetensors", base)
    shutil.copytree(run / "run/adapter", both, dirs_exist_ok=True)
    tensors = open_model(write_random_adapter(tmp_path / "adapter", both)).tensors
    assert np.array_equal(read_values(tensors["model.norm.weight"]), base["model.norm.weight"])


@pytest.mark.parametrize("what", ["another", "of another shape"])
def test_a_copy_of_a_head_has_to_be_the_bases(run, tmp_path, what):
    """PEFT writes one into the files of adapters that change it."""
    folder = copied(run, tmp_path, target_modules=["lm_head"])
    head = load_tensors(run / "base")["lm_head.weight"]
    rng = np.random.default_rng(3)
    shapes = {"lora_A": (4, head.shape[1]), "lora_B": (len(head), 4)}
    name = "base_model.model.lm_head"
    factors = {f"{name}.{part}.weight": rng.standard_normal(shape).astype(np.float32) for part, shape in shapes.items()}
    path = folder / "adapter_model.safetensors"
    for dtype in ("f32", "bf16", "f16"):
        save(path, factors | {f"{name}.base_layer.weight": cast(head, dtype)})
        stored = open_model(folder)
        pair = Factors(factors[f"{name}.lora_A.weight"], factors[f"{name}.lora_B.weight"])
        assert np.array_equal(read_values(stored.tensors["lm_head.weight"]), merged(head, pair, 2.0))
    save(path, factors | {f"{name}.base_layer.weight": head + 1 if what == "another" else head[1:]})
    with pytest.raises(DataError, match="holds lm_head.weight itself, and it is not that of"):
        open_model(folder)


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
        ({"use_dora": True}, "lacks magnitudes of .*, and use_dora in adapter_config.json is True"),
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
    q_proj = "base_model.model.model.layers.0.self_attn.q_proj"
    for other in ("base_model.model.model.embed_tokens.lora_embedding_A", f"{q_proj}.base_layer.weight"):
        save(path, tensors | {other: np.zeros((2, 2), np.float32)})
        with pytest.raises(DataError, match=f"holds {other}, which is no factor of a linear layer's adapter"):
            open_model(folder)
    save(path, {})
    with pytest.raises(DataError, match="holds no factors"):
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
        (("tune.rank=4", "optimizer.kind=muon"), "learned by AdamW"),
        (("tune.dora=true",), "tune.dora is given, and is of adapters: give tune.rank, too"),
        (("tune.rank=4", "tune.dora=true", 'tune.targets=["lm_head"]'), "names lm_head, and tune.dora is true"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path, settings, what):
    with pytest.raises(ConfigError, match=what):
        tune(write_recipe(tmp_path, "sft"), "sft", settings)
