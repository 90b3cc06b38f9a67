"""Training on a device that is no CPU, as far as that can be seen without one."""

import dataclasses

import pytest

from textmill.model.machine import PEAK_FLOPS, published_peak

torch = pytest.importorskip("torch")

from textmill.base.errors import ConfigError  # noqa: E402
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.train.host_memory import host_memory  # noqa: E402
from textmill.train.layout import Layout  # noqa: E402
from textmill.train.memory import choose_memory, predicted_bytes  # noqa: E402
from textmill.train.mesh import spread_of  # noqa: E402
from textmill.train.ranks import CPU, Ranks, own_device  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402
from textmill.train.snapshots import Snapshots  # noqa: E402
from textmill.train.spread import Spread  # noqa: E402

CONFIG = ModelConfig(
    vocab_size=512,
    hidden_size=128,
    intermediate_size=352,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
)
GPU = torch.device("cuda", 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("remat", ["none", "llama", "full"])
@pytest.mark.parametrize("norms", [False, True])
def test_every_tensor_of_a_step_is_on_the_device(dtype, masked, remat, norms):
    """On meta, which computes nothing, takes the way of devices that are no CPU, and refuses tensors of two devices."""
    config = dataclasses.replace(CONFIG, qk_norm=norms, model_type="qwen3" if norms else "llama")
    with torch.device("meta"):
        layout = Layout(Llama(config))
        ids = torch.zeros((2, 64), dtype=torch.int64)
        numbers = torch.zeros((2, 64), dtype=torch.int32) if masked else None
    loss = layout.nats(ids, ids, dtype=dtype, positions_BT=numbers, segments_BT=numbers, remat=remat)
    loss.backward()
    for name, parameter in layout.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad.device.type, parameter.grad.dtype) == ("meta", torch.float32), name


@pytest.mark.parametrize(
    ("name", "gpu"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA A100 80GB PCIe", None),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA GeForce RTX 4090", None),
    ],
)
def test_a_gpus_peak_is_its_own_modules(name, gpu):
    assert published_peak(name) == (None if gpu is None else PEAK_FLOPS[gpu])


def recipe(tmp_path, *settings):
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[run]\ndir = "run"\nprecision = "bf16"\n[tokenizer]\nvocab_size = 512\n[model]\nhidden_size = 128\n'
        '[data.sources.a]\npath = "a"\n[[stages]]\ncontext = 256\n[batch]\nrows = 512\n[budget]\nsteps = 3\n'
        '[spikes]\naction = "rewind"\n'
    )
    return load_recipe(path, settings)


def test_a_gpu_takes_more_rows_and_keeps_no_copies(tmp_path):
    asked, config = recipe(tmp_path), dataclasses.replace(CONFIG, vocab_size=8192)
    on_gpu = choose_memory(asked, config, lambda message: None, 1 << 36, Spread(device="cuda"))
    here = choose_memory(asked, config, lambda message: None, 1 << 36)
    assert on_gpu.micro_rows == (256,)  # 65,536 tokens
    assert on_gpu.micro_rows > here.micro_rows
    counted = predicted_bytes(asked, CONFIG, (1,), "none", Spread(device="cuda"))
    assert counted < predicted_bytes(asked, CONFIG, (1,), "none")


def test_ranks_that_share_a_model_need_less_each(tmp_path):
    asked = recipe(tmp_path)
    layers = dataclasses.replace(CONFIG, num_hidden_layers=64)
    alone, shared = (
        predicted_bytes(asked, layers, (1,), "none", Spread(device="cuda", num_holders=count)) for count in (1, 8)
    )
    state = 4 * 4 * layers.num_parameters  # weights, gradients and two moments
    assert alone - shared == pytest.approx(state * 7 / 8, rel=0.15)  # less what is gathered meanwhile


def test_ranks_with_some_heads_each_hold_tables_whole(tmp_path):
    """With 64 blocks the optimizer's moment is the peak of neither: what differs is tables, and what is gathered."""
    asked, deep = recipe(tmp_path), dataclasses.replace(CONFIG, num_hidden_layers=64)
    split, shared = (
        predicted_bytes(asked, deep, (1,), "none", Spread(device="cuda", num_holders=2, shares_tables=shares))
        for shares in (False, True)
    )
    tables, block = 2 * 512 * 128, 128 * (128 + 64 + 64 + 128) + 3 * 128 * 352
    # Weights, gradients and two moments: half of the tables more of each, less tables and two blocks of the first two.
    assert split - shared == 4 * (4 * tables // 2 - 2 * (tables + 2 * block))


def host(tmp_path, **spread):
    """What a host keeps by hand: weights are 4 bytes a parameter, and what is copied 12."""
    return host_memory(recipe(tmp_path), CONFIG).of_host(Spread(device="cuda", **spread))


def test_what_a_host_keeps(tmp_path):
    """Two copies to go back to, one to save, the whole model, and the engine's for a sample."""
    weights = 4 * CONFIG.num_parameters
    assert host(tmp_path) == (3 * 3 + 2) * weights
    # Each of 8 processes has copies of all; the first one saves.
    assert host(tmp_path, num_readers=8, num_here=8) == (8 * 2 * 3 + 3 + 2) * weights
    # Shared out, all of them have as much as one.
    shared = host(tmp_path, num_readers=8, num_holders=8, num_here=8)
    assert shared == pytest.approx((3 * 3 + 2) * weights, rel=1e-3)
    # On two hosts, half of that each, and the whole model on the first.
    halves = host(tmp_path, num_readers=8, num_holders=8, num_here=4)
    assert halves == pytest.approx((3 * 3 / 2 + 2) * weights, rel=1e-3)


def test_a_host_without_room_is_refused_with_what_would_fit(tmp_path):
    said = []
    spread = Spread(device="cuda", num_readers=8, num_here=8)
    weights = 4 * CONFIG.num_parameters
    enough = choose_memory(recipe(tmp_path), CONFIG, said.append, 1 << 36, spread, host_available=1 << 36)
    assert enough.predicted_host_bytes == host(tmp_path, num_readers=8, num_here=8)
    assert "the host's memory" in said[-1]

    def refused(available):
        with pytest.raises(ConfigError, match="in the memory of each host of 8 GPUs") as error:
            choose_memory(recipe(tmp_path), CONFIG, said.append, 1 << 36, spread, host_available=int(available / 0.9))
        return str(error.value)

    assert "--set spikes.action=off takes" in refused(5.5 * weights)
    assert "--mesh fsdp takes" in refused(12 * weights)
    assert "sample_tokens" not in refused(12 * weights), "one way alone is enough"
    assert "--set spikes.action=off --set eval.sample_tokens=0 takes" in refused(4.5 * weights)
    assert refused(weights).endswith("fewer processes on each host, or a smaller model, take less")


def test_on_a_cpu_one_rank_has_the_whole_model_at_times(tmp_path):
    """Blocks are few and tables large: the model that is gathered is more than a step's gradients and activations."""
    asked = recipe(tmp_path, "batch.rows=8", "spikes.action=off")
    deep = dataclasses.replace(CONFIG, num_hidden_layers=64)
    shared = predicted_bytes(asked, deep, (1,), "full", Spread(num_readers=8, num_holders=8, num_here=8))
    kept = host_memory(asked, deep)
    assert shared >= 2 * kept.part(Spread(num_holders=8)) + 2 * kept.model


@pytest.mark.parametrize(
    ("mesh", "readers", "holders"), [("ddp", 8, 1), ("fsdp", 8, 8), ("hsdp=4", 8, 4), ("tp=2", 4, 2)]
)
def test_who_reads_and_who_holds(mesh, readers, holders, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    found = spread_of(mesh, Ranks(0, 8, GPU))
    assert found == Spread(
        device="cuda", num_readers=readers, num_holders=holders, num_here=4, shares_tables=mesh != "tp=2"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_the_cpu():
    assert own_device() == CPU


def test_copies_to_go_back_to_are_in_the_machines_memory():
    """A tensor of the CPU is copied too, and not shared."""

    class NoState:
        def state_tensors(self):
            return {}

    weight = torch.ones(3)
    snapshots = Snapshots(1)
    snapshots.keep(0, [("weight", weight)], NoState(), {})
    weight.zero_()
    found = snapshots.find(0)
    assert found.model["weight"].tolist() == [1, 1, 1]
    assert found.model["weight"].device == CPU
