"""A model is the same model however it lies on ranks: gradients, steps, checkpoints, rewinds.

One step's gradients agree within 1e-6 of the largest in float32 with those of one process, and in float64 losses, norms
and weights within 1e-9 over steps. A rank's three rows go through in two parts.
"""

import dataclasses

import numpy as np
import pytest

from fakes.free_port import free_port
from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from fakes import laid_out, warm_process  # noqa: E402
from textmill.base.errors import ConfigError, DataError  # noqa: E402
from textmill.base.events import read_events  # noqa: E402
from textmill.checkpoint.parts import gather_parts  # noqa: E402
from textmill.checkpoint.sources import resolve_model  # noqa: E402
from textmill.checkpoint.store import (  # noqa: E402
    PARTS,
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    remove_checkpoint,
    step_of,
    verify_checkpoint,
)
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.train.host_memory import host_memory  # noqa: E402
from textmill.train.mesh import check_mesh, make_layout, spread_of  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.ranks import ALONE, Ranks  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402
from textmill.train.recipe_tables.steps import SpikesTable  # noqa: E402
from textmill.train.trainer import assemble  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 6
MESHES = [("ddp", 2), ("overlapped", 2), ("fsdp", 2), ("fsdp", 3), ("hsdp=1", 2), ("hsdp=2", 2), ("tp=2", 2)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of both optimizers, planned; documents are masked."""
    found = {}
    for kind in ("adamw", "muon"):
        folder = tmp_path_factory.mktemp(kind)
        settings = [f"budget.steps={STEPS}", "batch={ rows = 6 }", "spikes.action=off", "schedule.peak_lr=1e-3"]
        settings += ["data.packing=best-fit", "data.document_masks=true", "optimizer.muon_lr=2e-3"]
        settings += ["eval.every_steps=100", "optimizer.ema_decay=0.7", "optimizer.z_loss=1e-3"]
        run_recipe(load_recipe(write_recipe(folder, optimizer=kind), settings), Silent())
        found[kind] = folder / "run"
    return found


@pytest.fixture(scope="module")
def alone(runs):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = laid_out.everything(runs, ALONE, "ddp", STEPS)
    torch.set_num_threads(threads)
    return found


def assert_near(one, other, tolerance):
    """Each array within a share of its largest value."""
    assert one.keys() == other.keys()
    apart = {name: np.abs(one[name] - other[name]).max() / np.abs(one[name]).max() for name in one}
    assert max(apart.values()) <= tolerance, max(apart.items(), key=lambda item: item[1])


def go(function, size, *args, **kwargs):
    processes = [warm_process.start(function, rank, size, *args, **kwargs) for rank in range(size)]
    return [warm_process.finish(process, 300) for process in processes]


@pytest.mark.parametrize(("mesh", "size"), MESHES)
def test_two_ranks_do_what_one_does(runs, alone, mesh, size, tmp_path):
    """Gradients are summed, not averaged; the norm is that of the whole; Muon's updates are of whole matrices."""
    place = tmp_path / "found.npz"
    given = {"runs": runs, "mesh": mesh, "steps": STEPS, "place": place}
    assert go(laid_out.among, size, tmp_path / "meeting", **given) == [0] * size
    with np.load(place) as arrays:
        found = {kind: {} for kind in alone}
        for name in arrays.files:
            kind, _, tensor = name.partition("/")
            found[kind][tensor] = arrays[name]
    for kind in ("one", "full", "llama"):
        assert_near(alone["one"], found[kind], 1e-6)
    # bf16 has 8 bits: one rounding of norms' gradients, or of sums in the stream, is 2^-8.
    assert_near(alone["bf16"], found["bf16"], 2e-2)
    for kind in ("adamw", "muon"):
        assert_near(alone[kind], found[kind], 1e-9)


@pytest.mark.parametrize("mesh", ["ddp", "overlapped", "fsdp", "hsdp=1", "tp=2"])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_a_look_at_a_model_in_parts_sees_it_whole_and_changes_nothing(runs, kind, mesh, tmp_path):
    """Scores are those of the whole model; the first weights are the same bytes; copies take what was reckoned."""
    run, place = runs[kind], tmp_path / "found.npz"
    assert go(laid_out.look, 2, tmp_path / "meeting", run=run, mesh=mesh, place=place) == [0, 0]
    with np.load(place) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    trainer = assemble(laid_out.opened(run))
    trainer.layout.init_weights(7)
    for name, parameter in trainer.model.named_parameters():
        assert np.array_equal(found[f"first/{name}"], parameter.detach().numpy()), name
        parameter.data.copy_(torch.from_numpy(found[f"weights/{name}"]))
    assert found["scores"][-1] == pytest.approx(laid_out.scored(trainer), rel=1e-6)

    ranks = Ranks(0, 2, torch.device("cuda", 0))
    spread = dataclasses.replace(spread_of("ddp" if mesh == "overlapped" else mesh, ranks), num_here=2)
    recipe = dataclasses.replace(
        trainer.run.recipe, spikes=SpikesTable(), eval=dataclasses.replace(trainer.run.recipe.eval, sample_tokens=0)
    )
    kept = host_memory(recipe, trainer.run.plan.model)
    headers = 2 * (2 * 2048 * len(list(trainer.model.parameters())) + (4 << 10) * 4)  # of files, a scalar each, pages
    assert 0 <= found["bytes"] - (kept.of_host(spread) - kept.model) <= headers


@pytest.mark.parametrize("mesh", ["fsdp", "tp=2"])
def test_parts_are_read_by_any_layout_and_gathered(runs, mesh, tmp_path):
    run = runs["muon"]
    assert go(laid_out.save_in_parts, 2, tmp_path / "meeting", run=run, mesh=mesh) == [0, 0]
    folder = latest_checkpoint(run, on_damage=pytest.fail)
    with np.load(run / "state.npz") as arrays:
        expected = {name: arrays[name] for name in arrays.files}
    with pytest.raises(DataError, match=r"lies in parts, .*textmill train .* --resume"):
        resolve_model(run)
    trainer = assemble(laid_out.opened(run))
    trainer.load(load_checkpoint(folder))
    assert all(np.array_equal(laid_out.state(trainer)[name], expected[name]) for name in expected)

    gather_parts(folder)
    verify_checkpoint(folder)
    checkpoint = load_checkpoint(folder)
    assert not checkpoint.is_in_parts
    assert not list(folder.glob("part*"))
    found = checkpoint.model | checkpoint.optimizer
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_a_full_disk_of_one_rank_costs_a_checkpoint_and_not_the_run(runs, tmp_path):
    assert go(laid_out.save_to_a_full_disk, 2, tmp_path / "meeting", run=runs["adamw"], mesh="fsdp") == [0, 0]
    assert latest_checkpoint(runs["adamw"], on_damage=pytest.fail).name == "step-00000030"


def test_parts_that_are_missing_are_told(runs, tmp_path):
    run = runs["adamw"]
    for folder in list_checkpoints(run):
        remove_checkpoint(run, step_of(folder))
    assert go(laid_out.save_in_parts, 2, tmp_path / "meeting", run=run, mesh="fsdp") == [0, 0]
    folder = latest_checkpoint(run, on_damage=pytest.fail)
    (path,) = folder.glob("part-00001-*")
    path.rename(folder / "elsewhere")
    with pytest.raises(DataError, match=r"part-00001-of-00002.safetensors is missing"):
        verify_checkpoint(folder)
    (folder / "elsewhere").rename(path)
    text = (folder / PARTS).read_text()
    (folder / PARTS).write_text(text.replace('"offset"', '"offest"'))
    with pytest.raises(DataError, match=r"parts.json is damaged: KeyError\('offset'\)"):
        load_checkpoint(folder)
    (folder / PARTS).write_text(text.replace('"file": "part', '"file": "../part'))
    with pytest.raises(DataError, match="is no file of the folder"):
        load_checkpoint(folder)
    (folder / PARTS).write_text(text)


SETTINGS = ["optimizer.kind=adamw", "budget.steps=12", "spikes.rewind_steps=2", "spikes.window=8"]


@pytest.mark.parametrize("kind", ["bug", "stop"])
def test_an_error_of_one_rank_does_not_wait_for_the_others(kind):
    """As NCCL does where its groups are destroyed; where all stop they are."""
    assert go(laid_out.end_by, 2, free_port(), kind=kind) == [0, 0]


def steps_of(run):
    return [event for event in read_events(run / "events.jsonl") if event.kind == "step"]


def test_a_run_goes_from_two_ranks_to_one_to_two_and_through_a_jump(tmp_path):
    """fsdp to step 7, one process to step 9, tp=2 to the end; the loss seems to jump after step 5 of either run."""
    path = write_recipe(tmp_path / "changing")
    given = {"path": path, "settings": SETTINGS}
    stopped = go(laid_out.train, 2, free_port(), **given, mesh="fsdp", stop_at=7, jump_at=5)
    assert stopped == [1, 1]  # StoppedError
    assert go(laid_out.train, 1, free_port(), **given, mesh=None, stop_at=9, resume=True) == [1]
    assert go(laid_out.train, 2, free_port(), **given, mesh="tp=2", resume=True) == [0, 0]

    once = write_recipe(tmp_path / "once")
    assert go(laid_out.train, 1, free_port(), path=once, settings=SETTINGS, mesh=None, jump_at=5) == [0]
    one, other = tmp_path / "once" / "run", tmp_path / "changing" / "run"
    assert (one / "interventions.json").read_text() == (other / "interventions.json").read_text()
    losses = [[event.fields["loss"] for event in steps_of(run)] for run in (one, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    tensors = [load_checkpoint(list_checkpoints(run)[-1]).model for run in (one, other)]
    assert_near(*tensors, 1e-4)  # twelve steps of AdamW in float32
    kinds = [event.kind for event in read_events(other / "events.jsonl")]
    assert {"spike", "eval", "checkpoint", "end"} <= set(kinds)
    meshes = [event.fields["mesh"] for event in read_events(other / "events.jsonl") if "mesh" in event.fields]
    assert meshes == ["fsdp", "ddp", "tp=2"]


CONFIG = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
)


@pytest.mark.parametrize("mesh", ["dpp", "hsdp", "tp=0", "tp=two", "fsdp=2", ""])
def test_a_mesh_that_is_none_is_refused(mesh):
    with pytest.raises(ConfigError, match="must be ddp, fsdp, hsdp=N"):
        check_mesh(mesh, Ranks(0, 2))


def test_a_mesh_asks_for_several_processes():
    with pytest.raises(ConfigError, match="there is one; start several: torchrun"):
        check_mesh("fsdp", ALONE)
    assert check_mesh("ddp", ALONE) == check_mesh(None, ALONE) == check_mesh(None, Ranks(0, 2)) == "ddp"
    assert check_mesh(None, Ranks(0, 2, torch.device("cuda", 0))) == "fsdp"


@pytest.mark.parametrize(
    ("mesh", "changes", "message"),
    [
        ("tp=4", {}, "num_key_value_heads is 2, and cannot be shared out by 4"),
        ("tp=3", {}, "4 ranks cannot be shared out by 3"),
        ("hsdp=3", {}, "4 ranks cannot be shared out by 3"),
        ("tp=2", {"mlp_bias": True}, "biases after o_proj or down_proj"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(mesh, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_layout(mesh, dataclasses.replace(CONFIG, **changes), Ranks(0, 4), torch.float32)
