"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from textmill.base.errors import StorageError
from textmill.base.failpoints import failpoint

_READ_BYTES = 1 << 20


def sha256_file(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hash a file's bytes; returns 64 hexadecimal digits. ``progress`` is called with the bytes of each read."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(_READ_BYTES))  # one for all reads: new memory for each costs more than the read
    with path.open("rb", buffering=0) as file:
        while num_bytes := file.readinto(block):
            digest.update(block[:num_bytes])
            if progress is not None:
                progress(num_bytes)
    return digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about a write into a ``StorageError`` that names the fix."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        # numpy tells of a write that was cut short without a number.
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None):
            raise StorageError(
                f"cannot write {path}: {_reason(error)}; nothing that was there before is lost. "
                "Free some space, or choose another folder"
            ) from error
        raise StorageError(f"cannot write {path}: {_reason(error)}. Choose a folder that you may write to") from error


@contextlib.contextmanager
def temporary_errors() -> Iterator[None]:
    """Turn what the operating system says about its folder of temporary files into a ``StorageError``."""
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or "in none of the usual folders"
        raise StorageError(
            f"cannot write temporary files ({folder}): {_reason(error)}. Free some space there, or set TMPDIR to a "
            "folder that has more"
        ) from error


@contextlib.contextmanager
def new_file(path: Path, *, sync: bool = True) -> Iterator[BinaryIO]:
    """Write a file that appears whole or not at all; an existing one stays until the new one is on the disk.

    Yields the file to write to. Folders above it are made. Without ``sync`` a power cut may leave it torn: for files
    that are checked when they are read, and can be made again.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                yield file
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if sync:
            sync_folder(path.parent)


def write_file(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all."""
    with new_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def write_files(contents: Mapping[Path, bytes | str | None]) -> None:
    """Write several files, all or none: the first takes its place when the last is on the disk. None removes a file."""
    for path in contents:
        if path.is_dir():
            raise StorageError(f"cannot write {path}: it is a folder. Choose another name")
    with contextlib.ExitStack() as waiting:
        for path, content in contents.items():
            if content is None:
                continue
            file = waiting.enter_context(new_file(path))
            with storage_errors(path):
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
    for path in (path for path, content in contents.items() if content is None):
        with storage_errors(path):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def new_folder(path: Path, *, failpoints: str = "folder") -> Iterator[Path]:
    """Fill a folder that appears whole or not at all.

    Yields a temporary folder beside ``path``; when the block ends without an error its files are flushed and it takes
    the place of ``path``, whatever stood there before staying until that moment. ``failpoints`` is what the names of
    its failpoints begin with.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    old = temporary.with_suffix(".old")
    with storage_errors(path):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    with file.open("rb") as handle:
                        os.fsync(handle.fileno())
                else:
                    sync_folder(file)
            sync_folder(temporary)
            failpoint(f"{failpoints}:before-rename")
            if path.exists():
                path.rename(old)
                failpoint(f"{failpoints}:between-renames")
            try:
                temporary.rename(path)
                failpoint(f"{failpoints}:after-rename")
            except BaseException:
                if old.exists():
                    old.rename(path)
                raise
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_folder(path.parent)
        shutil.rmtree(old, ignore_errors=True)
