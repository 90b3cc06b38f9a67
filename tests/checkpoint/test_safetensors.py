"""The container of ``textmill.base.safetensors``: what is written is read, by us and by the safetensors library."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from textmill.base import safetensors
from textmill.base.errors import DataError, StorageError
from textmill.base.safetensors import BFLOAT16, bfloat16_to_float32, float32_to_bfloat16
from textmill.checkpoint.tensors import as_numpy, as_torch

DTYPES = ["f8", "i8", "u8", "f4", "i4", "u4", "f2", "i2", "u2", "i1", "u1", "?"]
arrays = st.sampled_from(DTYPES).flatmap(
    lambda dtype: st_np.arrays(dtype, st_np.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
tables = st.dictionaries(st.text(max_size=9).filter(lambda name: name != "__metadata__"), arrays, max_size=6)
in_tmp_path = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


@in_tmp_path
@given(tables, st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_what_is_written_is_read(tmp_path, tensors, metadata):
    path = tmp_path / "t.safetensors"
    safetensors.save(path, tensors, metadata)
    same(safetensors.load(path), tensors)
    assert safetensors.read_header(path).metadata == metadata
    first = path.read_bytes()
    safetensors.save(path, dict(reversed(tensors.items())), dict(reversed(metadata.items())))
    assert path.read_bytes() == first


@in_tmp_path
@given(tables)
def test_loaded_arrays_are_aligned(tmp_path, tensors):
    safetensors.save(tmp_path / "t.safetensors", tensors)
    assert all(array.flags.aligned for array in safetensors.load(tmp_path / "t.safetensors").values())


@pytest.mark.peer
@in_tmp_path
@given(tables)
def test_the_library_reads_what_we_write_and_the_other_way_round(tmp_path, tensors):
    from safetensors.numpy import load_file, save_file

    safetensors.save(tmp_path / "ours.safetensors", tensors)
    same(load_file(tmp_path / "ours.safetensors"), tensors)
    save_file(tensors, tmp_path / "theirs.safetensors", {"format": "pt"})
    same(safetensors.load(tmp_path / "theirs.safetensors"), tensors)


@pytest.mark.peer
def test_bfloat16_goes_both_ways_through_torch(tmp_path):
    from safetensors.torch import load_file, save_file

    weights = torch.randn(3, 5).to(torch.bfloat16)
    safetensors.save(tmp_path / "ours.safetensors", {"w": as_numpy(weights)})
    assert torch.equal(load_file(tmp_path / "ours.safetensors")["w"], weights)
    save_file({"w": weights}, tmp_path / "theirs.safetensors")
    assert torch.equal(as_torch(safetensors.load(tmp_path / "theirs.safetensors")["w"]), weights)


def test_bfloat16_bits_cannot_be_taken_for_numbers():
    bits = float32_to_bfloat16(np.ones(3, np.float32))
    assert bits.dtype == BFLOAT16 != np.uint16
    with pytest.raises(TypeError):
        bits + bits


@given(st_np.arrays(np.float32, st_np.array_shapes(min_dims=0, max_dims=2)))
@settings(deadline=None)
def test_bfloat16_rounds_as_torch_does(values):
    ours = bfloat16_to_float32(float32_to_bfloat16(values))
    theirs = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(ours, theirs)


def test_slices_and_big_endian_arrays_are_written_right(tmp_path):
    values = np.arange(24, dtype=">f4").reshape(4, 6)[::2, ::-1]
    safetensors.save(tmp_path / "t.safetensors", {"w": values})
    assert safetensors.load(tmp_path / "t.safetensors")["w"].tolist() == values.tolist()


@pytest.mark.parametrize(
    "array", [np.zeros(2, complex), np.zeros(2, "U3"), np.array([None])], ids=["complex", "text", "object"]
)
def test_a_dtype_that_the_format_lacks_is_refused(tmp_path, array):
    with pytest.raises(DataError, match='"w" has the dtype'):
        safetensors.save(tmp_path / "t.safetensors", {"w": array})
    assert not any(tmp_path.iterdir())


def test_a_reserved_name_is_refused(tmp_path):
    with pytest.raises(DataError, match="__metadata__"):
        safetensors.save(tmp_path / "t.safetensors", {"__metadata__": np.zeros(1)})


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.safetensors does not exist"):
        safetensors.load(tmp_path / "gone.safetensors")


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        safetensors.save(tmp_path / "file" / "t.safetensors", {"w": np.zeros(1)})


def test_arrays_are_filled_from_a_file(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "half": safetensors.float32_to_bfloat16(np.float32([1.5, -2])),
        "step": np.array(7.0),
        "none": np.empty((0, 3), np.int64),
    }
    safetensors.save(path, tensors)
    filled = {name: np.zeros_like(array) for name, array in tensors.items()}
    safetensors.read_into(path, filled)
    assert all(array.tobytes() == tensors[name].tobytes() for name, array in filled.items())
    one = np.zeros((2, 3), np.float32)
    safetensors.read_into(path, {"a": one})
    assert np.array_equal(one, tensors["a"])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"b": np.zeros(2)}, 'no such tensor where "b" as float64'),
        ({"a": np.zeros((3, 2), np.float32)}, r'float32 \[2, 3\] where "a" as float32 \[3, 2\]'),
        ({"a": np.zeros((2, 3))}, r'float32 \[2, 3\] where "a" as float64 \[2, 3\]'),
    ],
)
def test_an_array_that_does_not_fit_is_left_alone(tmp_path, wanted, message):
    safetensors.save(tmp_path / "t.safetensors", {"a": np.ones((2, 3), np.float32)})
    with pytest.raises(DataError, match=message):
        safetensors.read_into(tmp_path / "t.safetensors", wanted)
    assert not any(array.any() for array in wanted.values())


def test_the_layout_says_where_tensors_will_lie(tmp_path):
    path = tmp_path / "t.safetensors"
    tensors = {"a": np.ones(3, np.int16), "b": np.ones((2, 2)), "c": np.ones(5, np.uint8)}
    safetensors.save(path, tensors, {"format": "pt"})
    plan = safetensors.layout({name: (array.dtype, array.shape) for name, array in tensors.items()}, {"format": "pt"})
    assert plan.num_bytes == path.stat().st_size
    assert path.read_bytes().startswith(plan.header)
    assert plan.tensors == safetensors.read_header(path).tensors
