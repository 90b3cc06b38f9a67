"""GGUF headers as the package gguf writes them, and as nobody should."""

import numpy as np
import pytest

from base.gguf_files import gguf_file, text, value
from textmill.base.errors import DataError
from textmill.base.gguf import read_header
from textmill.base.gguf_types import TENSOR_TYPES


@pytest.mark.peer
def test_what_the_gguf_package_writes(tmp_path):
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    values = {
        "uint8": 255,
        "int8": -128,
        "uint16": 65535,
        "int16": -32768,
        "uint32": 2**32 - 1,
        "int32": -(2**31),
        "uint64": 2**64 - 1,
        "int64": -(2**63),
        "float32": 0.5,
        "float64": 1e300,
        "bool": True,
        "string": "naïve 🤖",
    }
    for kind, given in values.items():
        getattr(writer, f"add_{kind}")(kind, given)
    writer.add_array("texts", ["", "é", "中"])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("truths", [True, False])
    writer.add_tensor("a", np.ones((3, 64), np.float32))
    writer.add_tensor("b", np.ones((5,), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    header = read_header(path)
    assert {name: header.values[name] for name in values} == values
    assert header.values["texts"] == ["", "é", "中"]
    assert header.values["numbers"].tolist() == [1, 2, 3]
    assert header.values["truths"].tolist() == [True, False]
    reader = gguf.GGUFReader(path)
    assert list(header.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        info = header.tensors[tensor.name]
        assert (info.start, info.end - info.start) == (tensor.data_offset, tensor.n_bytes)
        assert info.shape == tuple(tensor.shape.tolist()[::-1])


@pytest.mark.peer
def test_block_sizes_are_those_of_the_gguf_package():
    constants = pytest.importorskip("gguf.constants")
    for theirs, sizes in constants.GGML_QUANT_SIZES.items():
        if theirs.name != "Q8_1":  # their table gives it 40 bytes, and ggml's struct has 36; no file holds it
            assert TENSOR_TYPES[int(theirs)] == (theirs.name, *sizes)


def test_an_empty_header_and_one_of_each_version(tmp_path):
    for version in (2, 3):
        (tmp_path / "x.gguf").write_bytes(gguf_file(version=version))
        assert read_header(tmp_path / "x.gguf") == ({}, {})


def test_a_value_of_another_kind_is_named(tmp_path):
    (tmp_path / "x.gguf").write_bytes(gguf_file(value("a", 8, text("x")), value("b", 7, b"\x01")))
    header = read_header(tmp_path / "x.gguf")
    assert header.value("a", str, None) == "x"
    assert header.value("missing", str, "default") == "default"
    with pytest.raises(DataError, match="its a is a string, and must be a whole number"):
        header.value("a", int, None)
    with pytest.raises(DataError, match="its b is true or false, and must be a whole number"):
        header.value("b", int, None)


def test_a_file_that_is_missing_or_empty(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_header(tmp_path / "x.gguf")
    (tmp_path / "x.gguf").write_bytes(b"")
    with pytest.raises(DataError, match="it is empty"):
        read_header(tmp_path / "x.gguf")
