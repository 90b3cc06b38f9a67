"""Whatever happens to a file of a checkpoint is noticed, before any of it is used."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import DataError
from textmill.checkpoint.restore import restore_model, restore_optimizer
from textmill.checkpoint.store import latest_checkpoint, load_checkpoint, save_checkpoint, verify_checkpoint
from textmill.model.llama import Llama
from textmill.model.presets import preset

NAMES = ["config.json", "model.safetensors", "optimizer.safetensors", "sha256.json", "state.json"]


def save(run, step, **changes):
    arguments = {
        "model": {"w": np.arange(12.0, dtype=np.float32).reshape(4, 3)},
        "optimizer": {"w/exp_avg": np.ones((4, 3), np.float32), "w/step": np.float32([7.0])[0:1].reshape(())},
        "state": {"seed": 1, "skipped": [3, 4]},
        "write_small_files": lambda folder: (folder / "config.json").write_text('{"hidden_size": 3}\n'),
    }
    return save_checkpoint(run, step, **(arguments | changes))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    return run, save(run, 1), save(run, 2)


def read_all(folder):
    checkpoint = load_checkpoint(folder)
    tensors = {name: array.tobytes() for name, array in (checkpoint.model | checkpoint.optimizer).items()}
    return tensors, checkpoint.state, (folder / "config.json").read_bytes()


@given(st.sampled_from(NAMES), st.data())
@settings(deadline=None, max_examples=300)
def test_flipped_bits_and_lost_ends_are_always_noticed(saved, name, data):
    run, good, newest = saved
    path = newest / name
    whole, wanted = path.read_bytes(), read_all(newest)
    damaged = bytearray(whole)
    if data.draw(st.booleans(), label="truncate"):
        del damaged[data.draw(st.integers(0, len(whole) - 1), label="length") :]
    else:
        for bit in data.draw(st.sets(st.integers(0, 8 * len(whole) - 1), min_size=1, max_size=5), label="bits"):
            damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    try:
        heard = []
        found = latest_checkpoint(run, heard.append)
        if found == good:
            assert len(heard) == 1
            assert str(newest) in str(heard[0])
            assert str(heard[0]).endswith("remove its folder to go on from the one before it")
        else:  # the hashes themselves are read as they were: white space changed
            assert name == "sha256.json"
            assert read_all(newest) == wanted
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_named_with_what_to_do(tmp_path, name):
    folder = save(tmp_path, 1)
    (folder / name).unlink()
    with pytest.raises(DataError, match=rf"{name} (is missing|does not exist)"):
        verify_checkpoint(folder)


@pytest.mark.parametrize("name", ["a\0b", "\ud800", "", ".", "..", "nowhere"])
def test_a_name_that_is_no_file_of_the_folder_is_refused(tmp_path, name):
    folder = save(tmp_path, 1)
    hashes = json.loads((folder / "sha256.json").read_text())
    (folder / "sha256.json").write_text(json.dumps(hashes | {name: "0"}))
    with pytest.raises(DataError, match="remove its folder"):
        verify_checkpoint(folder)


def test_files_of_two_checkpoints_do_not_mix(tmp_path):
    one, two = save(tmp_path, 1), save(tmp_path, 2, model={"w": np.zeros((4, 3), np.float32)})
    shutil.copy(one / "model.safetensors", two)
    with pytest.raises(
        DataError, match=r"model.safetensors is damaged.*remove its folder to go on from the one before"
    ):
        verify_checkpoint(two)


def test_a_checkpoint_of_another_step_is_told_with_both(tmp_path):
    folder = save(tmp_path, 1)
    moved = folder.rename(folder.with_name("step-00000002"))
    with pytest.raises(DataError, match=r"belongs to step 1, and its folder to step 2.*Copy the checkpoint again"):
        load_checkpoint(moved)


def tiny(**sizes):
    names = {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
    }
    return Llama(dataclasses.replace(preset("smollm2-135m"), **(names | sizes))).init_weights(1)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_hidden_layers": 3}, r"model.safetensors lacks .*layers.2.*belongs to another model"),
        ({"num_hidden_layers": 1}, r"model.safetensors holds .*layers.1.*no place"),
        ({"vocab_size": 65}, r"model.safetensors holds .*\[64, 32\].*asks for \[65, 32\]"),
    ],
)
def test_a_checkpoint_of_another_model_leaves_the_model_alone(tmp_path, sizes, message):
    folder = save(tmp_path, 1, model=tiny().state_dict())
    other = tiny(**sizes)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(DataError, match=message):
        restore_model(load_checkpoint(folder), other)
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_and_an_optimizer_come_back_bit_for_bit(tmp_path, dtype):
    model = tiny().to(dtype)
    moments = {f"{name}/exp_avg": torch.randn_like(tensor) for name, tensor in model.state_dict().items()}
    moments["step"] = torch.tensor(3.0)
    checkpoint = load_checkpoint(save(tmp_path, 1, model=model.state_dict(), optimizer=moments))
    restored = Llama(model.config).to(dtype)
    restore_model(checkpoint, restored)
    optimizer = restore_optimizer(checkpoint)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in restored.state_dict().items())
    assert optimizer.keys() == moments.keys()
    assert all(torch.equal(tensor, moments[name]) for name, tensor in optimizer.items())
    optimizer["step"] += 1  # it owns its memory
    assert load_checkpoint(checkpoint.folder).optimizer["step"] == 3.0


def test_weights_of_another_dtype_are_converted(tmp_path):
    model = tiny()
    checkpoint = load_checkpoint(save(tmp_path, 1, model=model.state_dict()))
    restored = Llama(model.config).to(torch.bfloat16)
    restore_model(checkpoint, restored)
    wanted = model.state_dict()
    assert all(torch.equal(tensor, wanted[name].bfloat16()) for name, tensor in restored.state_dict().items())
