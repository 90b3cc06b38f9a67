"""Files that lie: each must end in a DataError before memory is taken, whatever the lie."""

import json
import os
import resource
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.base import safetensors
from textmill.base.errors import DataError

GOOD = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "U8", "shape": [4], "data_offsets": [24, 28]},
}
DATA = bytes(range(28))


def container(header, data=DATA, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def changed(**changes):
    return GOOD | {"a": GOOD["a"] | changes}


def write(folder, content):
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return path


def test_the_good_one_is_read(tmp_path):
    tensors = safetensors.load(write(tmp_path, container(GOOD)))
    assert tensors["b"].tolist() == [24, 25, 26, 27]


@pytest.mark.parametrize(
    ("content", "reason"),
    {
        "empty": (b"", "ends after 0 bytes"),
        "half a length": (b"\x05\0\0\0", "ends after 4 bytes"),
        "only a length": (container(b"", b"", 28), "claims 28 bytes"),
        "length beyond the file": (container(GOOD, length=10_000), "claims 10,000 bytes"),
        "length of 2^64 - 1": (container(GOOD, length=(1 << 64) - 1), "claims 18,446,744,073,709,551,615 bytes"),
        "no header": (container(b""), "does not begin with {"),
        "not JSON": (container(b"{nonsense}"), "not JSON"),
        "not an object": (container([1]), "does not begin with {"),
        "a pickle": (b"\x80\x04\x95" + b"\0" * 100, "claims"),
        "header cut short": (container(json.dumps(GOOD).encode()[:-5]), "not JSON"),
        "not UTF-8": (container(b'{"\xff": 1}'), "not UTF-8"),
        "deep": (container(b'{"a":' * 100_000), "nested too deep"),
        "deep lists": (container(b'{"a":' + b"[" * 200_000), "nested too deep"),
        "an integer of 10,000 digits": (container(b'{"a": ' + b"9" * 10_000 + b"}"), "not JSON"),
        "same name twice": (container(b'{"a": 1, "a": 2}'), '"a" twice'),
        "same key twice": (container(b'{"a": {"dtype": "F32", "dtype": "U8"}}'), '"dtype" twice'),
        "no offsets": (container({"a": {"dtype": "F32", "shape": [7]}}), "does not have exactly"),
        "more keys": (container(changed(extra=1)), "does not have exactly"),
        "a name of 9,000 letters": (container({"n" * 9000: GOOD["a"]}), "a name of 9,000 letters"),
        "half a character as a name": (container(b'{"\\ud800": 7}'), "ud800"),
        "a long name twice": (container(b'{"' + b"n" * 9000 + b'": 1, "' + b"n" * 9000 + b'": 2}'), "twice"),
        "a dtype of 9,000 letters": (container(changed(dtype="F" * 9000)), "known are"),
        "not an entry": (container({"a": 7}), "does not have exactly"),
        "unknown dtype": (container(changed(dtype="F7")), "'F7'"),
        "a dtype that is a list": (container(changed(dtype=["F32"])), "dtype"),
        "negative size": (container(changed(shape=[-2, -3])), "shape"),
        "fractional size": (container(changed(shape=[2.0, 3])), "shape"),
        "a size that is true": (container(changed(shape=[True, 6])), "shape"),
        "NaN as a size": (container(b'{"a": {"dtype": "U8", "shape": [NaN], "data_offsets": [0, 28]}}'), "NaN"),
        "infinite offset": (
            container(b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, Infinity]}}'),
            "Infinity",
        ),
        "a size beyond 64 bits": (container(changed(shape=[1 << 70])), "shape"),
        "product beyond 64 bits": (container(changed(shape=[1 << 40, 1 << 40])), "takes"),
        "huge and empty": (container(changed(shape=[1 << 62, 0], data_offsets=[0, 24])), "takes 0"),
        "1,000 dimensions": (container(changed(shape=[1] * 1000)), "shape"),
        "shape too small": (container(changed(shape=[2, 2])), "takes 16"),
        "shape too large": (container(changed(shape=[2, 4])), "takes 32"),
        "reversed offsets": (container(changed(data_offsets=[24, 0])), "-24 bytes"),
        "negative offset": (container(changed(data_offsets=[-24, 0])), "data_offsets"),
        "three offsets": (container(changed(data_offsets=[0, 12, 24])), "data_offsets"),
        "overlap": (container(GOOD | {"b": GOOD["b"] | {"data_offsets": [20, 24]}}), "overlaps"),
        "the same bytes twice": (container(GOOD | {"c": GOOD["a"]}), "overlaps"),
        "hole": (container(GOOD | {"b": GOOD["b"] | {"data_offsets": [25, 29]}}, DATA + b"x"), "hole"),
        "hole at the start": (container({"b": GOOD["b"]}), "hole after the header"),
        "data beyond the file": (container(GOOD, DATA[:-1]), "truncated"),
        "data without a tensor": (container(GOOD, DATA + b"x"), "attached"),
        "metadata that is no table": (container(GOOD | {"__metadata__": 1}), "__metadata__"),
        "metadata that is no text": (container(GOOD | {"__metadata__": {"a": 1}}), "__metadata__"),
    }.values(),
    ids=lambda value: None,
)
def test_a_lie_is_named(tmp_path, content, reason):
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=reason.replace("[", r"\[").replace("{", r"\{")) as caught:
        safetensors.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700 + len(str(path))


def test_many_names_are_looked_through_once(tmp_path):
    """Two hundred thousand, and the last one twice."""
    names = ", ".join(f'"{number}": 0' for number in [*range(200_000), 199_999])
    path = write(tmp_path, container(b"{" + names.encode() + b"}"))
    begin = time.process_time()
    with pytest.raises(DataError, match='"199999" twice'):
        safetensors.read_header(path)
    assert time.process_time() - begin < 10


def test_truncation_at_every_byte_is_noticed(tmp_path):
    whole = container(GOOD)
    for size in range(len(whole)):
        with pytest.raises(DataError):
            safetensors.read_header(write(tmp_path, whole[:size]))


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_never_crash(tmp_path, flips):
    content = bytearray(container(GOOD))
    for position, value in flips:
        content[position % len(content)] = value
    try:
        tensors = safetensors.load(write(tmp_path, bytes(content)))
    except DataError:
        return
    assert sum(tensor.nbytes for tensor in tensors.values()) == len(DATA)


def test_a_lie_takes_no_memory(tmp_path):
    """A sparse file of 64 GB whose header claims 100 GB."""
    path = write(tmp_path, container(changed(), b"", 100 << 30))
    os.truncate(path, 64 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match="claims"):
        safetensors.load(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000  # kB


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        safetensors.load(tmp_path)


def test_mapped_tensors_are_private(tmp_path):
    path = write(tmp_path, container(GOOD))
    safetensors.load(path)["a"][:] = 0
    assert path.read_bytes() == container(GOOD)
    assert np.any(safetensors.load(path)["a"])
