"""GGUF files that are written, read by the package gguf and by ``textmill.base.gguf``."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import DataError, StorageError
from textmill.base.gguf import read_header
from textmill.base.gguf_blocks import WRITABLE, dequantize, quantize
from textmill.base.gguf_writer import TensorToWrite, save

numbers = st.integers(-(1 << 63), (1 << 64) - 1)
fractions = st.floats(width=32, allow_nan=False)
arrays = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"]).flatmap(
    lambda kind: st.lists(st.integers(0, 1), max_size=4).map(lambda items: np.array(items, kind))
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
values = st.dictionaries(
    texts.filter(lambda name: name not in {"", "general.alignment"}),
    numbers | fractions | st.booleans() | texts | st.lists(texts, max_size=3) | arrays,
    max_size=6,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("gguf") / "x.gguf"


@given(values=values, seed=st.integers(0, 99), rows=st.lists(st.integers(1, 3), max_size=4))
@settings(deadline=None)
def test_what_is_written_is_read(path, values, seed, rows):
    rng = np.random.default_rng(seed)
    tensors = {
        f"t{place}": (WRITABLE[(seed + place) % len(WRITABLE)], rng.normal(size=(num, 32)).astype(np.float32))
        for place, num in enumerate(rows)
    }
    save(
        path,
        values,
        [
            TensorToWrite(name, kind, array.shape, lambda kind=kind, array=array: quantize(kind, array))
            for name, (kind, array) in tensors.items()
        ],
    )
    header = read_header(path)
    assert list(header.values) == list(values)
    for name, value in values.items():
        read = header.values[name]
        if isinstance(value, np.ndarray):
            assert read.dtype == value.dtype
            assert read.tolist() == value.tolist()
        else:
            assert (type(read), read) == (type(value), value)
    data = path.read_bytes()
    assert list(header.tensors) == list(tensors)
    for name, (kind, array) in tensors.items():
        info = header.tensors[name]
        assert info.start % 32 == 0
        assert (info.type.name, info.shape) == (kind, array.shape)
        assert data[info.start : info.end] == quantize(kind, array).tobytes()


@pytest.mark.peer
def test_the_package_gguf_reads_it(tmp_path):
    gguf = pytest.importorskip("gguf")
    array = np.random.default_rng(1).normal(size=(3, 64)).astype(np.float32)
    tensors = [TensorToWrite(kind, kind, array.shape, lambda kind=kind: quantize(kind, array)) for kind in WRITABLE]
    values = {
        "general.architecture": "llama",
        "a": 1,
        "b": 0.5,
        "c": True,
        "d": ["x", "é"],
        "e": np.arange(3, dtype="i4"),
    }
    save(tmp_path / "x.gguf", values, tensors)
    reader = gguf.GGUFReader(tmp_path / "x.gguf")
    assert {name: reader.fields[name].contents() for name in values} == values | {"e": [0, 1, 2]}
    for tensor in reader.tensors:
        theirs = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(array.shape)
        assert np.array_equal(theirs, dequantize(tensor.name, quantize(tensor.name, array), array.shape))


def test_what_cannot_be_written(tmp_path):
    path = tmp_path / "x.gguf"
    for value in (None, 1 << 64, -(1 << 63) - 1, np.zeros(2, complex), np.zeros((2, 2)), {}):
        with pytest.raises(DataError, match='value "a" is .* which GGUF does not hold'):
            save(path, {"a": value}, [])
    with pytest.raises(DataError, match="have 33 values, which blocks of 32"):
        save(path, {}, [TensorToWrite("t", "Q8_0", (2, 33), lambda: np.zeros(2))])
    with pytest.raises(DataError, match="came as 12 bytes, and takes 16"):
        save(path, {}, [TensorToWrite("t", "F32", (4,), lambda: np.zeros(3, np.float32))])
    assert not any(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        save(tmp_path / "file" / "x.gguf", {}, [])
