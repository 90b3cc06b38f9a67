"""Writing a file that lies whole in memory: past the page cache, hashed on the way.

The page cache would copy every byte once more, into memory that has to be found first. What a save costs beside
training stands in docs/benchmarks/training.md. Where a file system has no such way, the page cache it is.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from pathlib import Path

from textmill.base.failpoints import failpoint
from textmill.checkpoint.snapshot import PAGE_BYTES, FileImage

_BLOCK_BYTES = 1024 * PAGE_BYTES
_DIRECT = getattr(os, "O_DIRECT", 0)


def write_image(path: Path, image: FileImage) -> str:
    """Write a new file and flush it to the disk; returns its sha256, 64 hexadecimal digits.

    Raises:
        OSError: the disk is full or may not be written to; the file is left unfinished then.
    """
    digest = hashlib.sha256()
    descriptor = _open(path)
    try:
        for start in range(0, image.num_bytes, _BLOCK_BYTES):
            failpoint("checkpoint:mid-tensor")
            block = image.content[start : start + _BLOCK_BYTES]
            digest.update(block[: image.num_bytes - start])
            _write(descriptor, block, start)
        os.ftruncate(descriptor, image.num_bytes)  # the last page was written whole
        failpoint("checkpoint:before-fsync")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def _open(path: Path) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        return os.open(path, flags | _DIRECT, 0o666)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    path.unlink(missing_ok=True)  # some file systems make the file before they refuse
    return os.open(path, flags, 0o666)


def _write(descriptor: int, block: memoryview, position: int) -> None:
    while block:
        try:
            written = os.pwrite(descriptor, block, position)
        except OSError as error:
            # The file system asks for more than whole pages, or wrote a part of one before.
            if error.errno != errno.EINVAL or not _leave_direct(descriptor):
                raise
            continue
        block, position = block[written:], position + written


def _leave_direct(descriptor: int) -> bool:
    """Go on through the page cache; False where the file is written through it already."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~_DIRECT)
    return bool(flags & _DIRECT)
