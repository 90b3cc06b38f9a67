"""Files of arrays: whole, mapped, and no damaged value is ever handed out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.small_files import small_files
from textmill.base.errors import DataError, StorageError
from textmill.data.array_file import BLOCK_BYTES, ArrayFile, ArrayFileWriter

KIND = b"TMTEST01"


def write(path, arrays, facts=None):
    with ArrayFileWriter(path, KIND, {name: values.dtype.str for name, values in arrays.items()}) as writer:
        for name, values in arrays.items():
            for part in np.array_split(values, 3):
                writer.append(name, part)
        return writer.finish(facts)


def opened(path):
    return ArrayFile(path, KIND, "make it again")


@settings(deadline=None, max_examples=25)
@given(counts=st.lists(st.integers(0, 3000), min_size=1, max_size=4), data=st.data())
def test_arrays_come_back(tmp_path_factory, counts, data):
    path = tmp_path_factory.mktemp("arrays") / "a.bin"
    dtypes = [data.draw(st.sampled_from(["<u8", "<u4", "|u1"])) for _ in counts]
    arrays = {f"a{i}": np.arange(n).astype(kind) for i, (n, kind) in enumerate(zip(counts, dtypes, strict=True))}
    write(path, arrays, {"seed": 7})
    file = opened(path)
    assert file.facts == {"seed": 7}
    for name, values in arrays.items():
        assert file.read(name).tolist() == values.tolist()
        assert file.read(name, 0, len(values) // 2).tolist() == values[: len(values) // 2].tolist()
    file.check_all()


def test_long_arrays_pass_through_temporary_files(tmp_path):
    values = np.arange(400_000, dtype=np.uint64)
    write(tmp_path / "a.bin", {"a": values, "b": values + np.uint64(1)})
    assert (opened(tmp_path / "a.bin").read("b") == values + np.uint64(1)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Choose a folder that you may write to"):
        write(tmp_path / "file" / "a.bin", {"a": np.arange(3, dtype=np.uint64)})


@pytest.mark.parametrize("num_bytes", [0, 1 << 20, 7 << 20])
def test_a_disk_without_room_is_told_and_leaves_nothing(tmp_path, num_bytes):
    """Wherever it is full: what is still to be written to a temporary file fails once more when that is closed."""
    values = np.arange(1_000_000, dtype=np.uint64)
    with (
        pytest.raises(StorageError, match=r"cannot write .*a.bin: file too large.*Free some space"),
        small_files(num_bytes),
    ):
        write(tmp_path / "a.bin", {"a": values})
    assert list(tmp_path.iterdir()) == []


def test_every_flipped_bit_is_found(tmp_path):
    path = tmp_path / "a.bin"
    values = np.arange(3000, dtype=np.uint64)
    write(path, {"a": values})
    data = path.read_bytes()
    for byte in [*range(200), *range(200, len(data), 61), *range(len(data) - 40, len(data))]:
        damaged = bytearray(data)
        damaged[byte] ^= 1 << (byte % 8)
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a.bin is"):
            file = opened(path)
            file.read("a")
            file.check_all()
    assert len(data) > 3 * BLOCK_BYTES


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 40, 4096, -17, -8, -1])
def test_a_file_that_is_cut_short(tmp_path, cut):
    path = tmp_path / "a.bin"
    write(path, {"a": np.arange(3000, dtype=np.uint64)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"a.bin is .*make it again"):
        opened(path)


def test_another_kind_and_no_file(tmp_path):
    write(tmp_path / "a.bin", {"a": np.arange(3, dtype=np.uint64)})
    with pytest.raises(DataError, match="not what it should be"):
        ArrayFile(tmp_path / "a.bin", b"TMOTHER1", "make it again")
    with pytest.raises(DataError, match="missing"):
        opened(tmp_path / "b.bin")
