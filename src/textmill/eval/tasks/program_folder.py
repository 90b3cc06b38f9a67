"""The folder that a program may write in: however it left it, it is measured and removed.

Programs nest folders deeper than Python recurses or a path can name, and take away their own rights to read them. So
nothing here recurses, and folders are gone into from an open one, never by a path from the root.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_ROUNDS_MAX = 10_000
_AT_ONCE = 1000  # names


@contextlib.contextmanager
def program_folder() -> Iterator[Path]:
    """A new temporary folder, removed behind the block; what cannot be removed stays, and is no error."""
    folder = Path(tempfile.mkdtemp(prefix="textmill-"))
    try:
        yield folder
    finally:
        with contextlib.suppress(OSError):
            remove(folder)


def is_too_large(folder: Path, *, num_files: int, num_bytes: int) -> bool:
    """Whether more files and folders, or more bytes, are in a folder; one that cannot be read counts as that."""
    count = size = 0
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > num_files:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        size += _num_bytes(entry)
        except FileNotFoundError:  # the program removed it meanwhile
            continue
        except OSError:
            return True
        if size > num_bytes:
            return True
    return False


def _num_bytes(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


def remove(folder: Path) -> None:
    """Remove a folder with all that is in it.

    What lies deep is moved up beside what is above it first, so that no folder is ever far from the one that is open.

    Raises:
        OSError: it cannot be removed.
    """
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for _ in range(_ROUNDS_MAX):
            names = _some_names(top)
            if not names:
                break
            for name in names:
                _remove_one(top, name)
    finally:
        os.close(top)
    folder.rmdir()


def _some_names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in islice(entries, _AT_ONCE)]


def _remove_one(top: int, name: str) -> None:
    """Remove a file, or a folder whose own folders are moved up."""
    if not _is_folder(top, name):
        os.unlink(name, dir_fd=top)
        return
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        while names := _some_names(inner):
            for one in names:
                if _is_folder(inner, one):
                    os.chmod(one, 0o700, dir_fd=inner)  # its entry for its parent is written when it is moved
                    os.rename(one, secrets.token_hex(16), src_dir_fd=inner, dst_dir_fd=top)
                else:
                    os.unlink(one, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def _is_folder(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
