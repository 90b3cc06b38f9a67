"""Files and folders that are whole or absent."""

import errno
import os

import pytest

from textmill.base.errors import StorageError
from textmill.base.files import new_folder, sha256_file, storage_errors, write_file


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_file_is_replaced_at_once(tmp_path):
    path = tmp_path / "sub" / "a.json"
    write_file(path, "old")
    write_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]
    assert sha256_file(path) == "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_file(path, "old")
    monkeypatch.setattr("textmill.base.files.os.fsync", no_space)
    with pytest.raises(
        StorageError, match=r"cannot write .*a.json: no space left.*nothing that was there.*Free some space"
    ):
        write_file(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_a_folder_appears_whole(tmp_path):
    with new_folder(tmp_path / "set") as folder:
        (folder / "a").write_text("1")
        assert not (tmp_path / "set").exists()
    assert (tmp_path / "set" / "a").read_text() == "1"


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_folder_that_fails_leaves_the_old_one(tmp_path, error):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_text("old")
    with pytest.raises(type(error)), new_folder(tmp_path / "set") as folder:
        (folder / "a").write_text("new")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["set"]
    assert (tmp_path / "set" / "a").read_text() == "old"


def test_a_full_disk_leaves_the_old_folder(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a").write_text("old")
    monkeypatch.setattr("textmill.base.files.os.fsync", no_space)
    with pytest.raises(StorageError, match="no space left"), new_folder(tmp_path / "set") as folder:
        (folder / "a").write_text("new")
    assert (tmp_path / "set" / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_path_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="Choose a folder that you may write to"):
        write_file(tmp_path / "file" / "below", "x")


def test_a_write_cut_short_as_numpy_tells_of_it_is_a_full_disk(tmp_path):
    with (
        pytest.raises(StorageError, match="6000 requested and 1006 written.*Free some space"),
        storage_errors(tmp_path),
    ):
        raise OSError("6000 requested and 1006 written")
