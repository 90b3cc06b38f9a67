"""A file that lies in memory is written past the page cache, or through it where that is all there is."""

import errno
import fcntl
import hashlib
import os

import numpy as np
import pytest

from textmill.checkpoint import image_file
from textmill.checkpoint.image_file import write_image
from textmill.checkpoint.snapshot import PAGE_BYTES, FileImage, Snapshot


def image_of(num_bytes, offset=0):
    pages = -(-num_bytes // PAGE_BYTES) * PAGE_BYTES
    memory = np.zeros(pages + 2 * PAGE_BYTES, np.uint8)
    start = -memory.ctypes.data % PAGE_BYTES + offset
    content = memory[start : start + pages]
    content[:num_bytes] = np.random.default_rng(1).integers(0, 256, num_bytes, np.uint8)
    return FileImage(content.data, num_bytes)


def check(path, image):
    sha256 = write_image(path, image)
    wanted = bytes(image.content[: image.num_bytes])
    assert path.read_bytes() == wanted
    assert sha256 == hashlib.sha256(wanted).hexdigest()


@pytest.mark.parametrize("num_bytes", [0, 1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 1024 * PAGE_BYTES, 9_000_001])
def test_a_file_of_any_length(tmp_path, num_bytes):
    check(tmp_path / "a", image_of(num_bytes))


def test_memory_that_begins_within_a_page(tmp_path):
    check(tmp_path / "a", image_of(9_000_001, offset=1))


def test_a_file_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileExistsError):
        write_image(tmp_path / "a", image_of(10))
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this system always goes through the page cache")
@pytest.mark.parametrize("refused", ["open", "open that leaves a file", "write"])
def test_a_file_system_that_refuses(tmp_path, monkeypatch, refused):
    opened, written = os.open, os.pwrite

    def refuse_open(path, flags, *arguments):
        if flags & os.O_DIRECT:
            if "leaves" in refused:
                os.close(opened(path, flags & ~os.O_DIRECT, *arguments))
            raise OSError(errno.EINVAL, "Invalid argument")
        return opened(path, flags, *arguments)

    def refuse_write(descriptor, *arguments):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return written(descriptor, *arguments)

    if refused == "write":
        monkeypatch.setattr(os, "pwrite", refuse_write)
    else:
        monkeypatch.setattr(os, "open", refuse_open)
    check(tmp_path / "a", image_of(5_000_001))


def test_a_system_without_direct_files(tmp_path, monkeypatch):
    monkeypatch.setattr(image_file, "_DIRECT", 0)
    check(tmp_path / "a", image_of(5_000_001))


def test_writes_that_are_cut_short_go_on(tmp_path, monkeypatch):
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda descriptor, block, position: real(descriptor, block[:100_001], position))
    check(tmp_path / "a", image_of(5_000_001))


def test_other_refusals_are_told(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(OSError, match="Invalid argument"):
        write_image(tmp_path / "a", image_of(10))


def test_images_begin_on_pages_and_share_memory_that_is_kept():
    snapshot = Snapshot(3 * PAGE_BYTES)
    first = snapshot.take({"a": {"w": np.ones(10, np.float32)}, "b": {"w": np.ones(2000, np.float32)}})
    second = snapshot.take({"a": {"w": np.ones(10, np.float32)}})
    places = [np.frombuffer(image.content, np.uint8).ctypes.data for image in (*first.values(), *second.values())]
    assert [place % PAGE_BYTES for place in places] == [0, 0, 0]
    assert places[1] == places[0] + PAGE_BYTES
    assert places[2] == places[0]
