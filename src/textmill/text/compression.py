"""Files that may be packed with gzip or Zstandard, read as a stream of their content."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from types import ModuleType
from typing import IO, Any, cast

from textmill.base.errors import DataError, require_extra

PACKED_SUFFIXES = frozenset({".gz", ".zst"})


def packing_of(name: str) -> str:
    """Return ``.gz`` or ``.zst`` where a file's name ends in it, else nothing."""
    return next((suffix for suffix in PACKED_SUFFIXES if name.lower().endswith(suffix)), "")


@contextlib.contextmanager
def open_unpacked(path: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """Open a file for reading; ``.gz`` and ``.zst`` are unpacked on the way.

    Yields the content, and the file itself, whose ``tell()`` says how far reading is.

    Raises:
        DataError: the file cannot be read, or is damaged; also while it is being read.
        MissingExtraError: a ``.zst`` without the package ``zstandard``.
    """
    damage = damage_errors(path.name)
    try:
        with path.open("rb") as file:
            yield unpacked(file, path.name), file
    except DataError:
        raise
    except (OSError, *damage) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def unpacked(file: IO[bytes], name: str) -> IO[bytes]:
    """Return the content of an open file whose name ends in ``.gz`` or ``.zst``, or else the file itself."""
    packing = packing_of(name)
    if packing == ".zst":
        new_frame = _zstandard(name).ZstdDecompressor().decompressobj
        return cast(IO[bytes], io.BufferedReader(ZstandardReader(file, new_frame), 1 << 20))
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packing == ".gz" else file


def damage_errors(name: str) -> tuple[type[Exception], ...]:
    """List the errors that reading damaged content of a file of that name raises."""
    damaged = (EOFError, zlib.error, gzip.BadGzipFile)
    return (*damaged, _zstandard(name).ZstdError) if packing_of(name) == ".zst" else damaged


def _zstandard(name: str) -> ModuleType:
    return require_extra("zstandard", "data", f"reading {PurePath(name).name}")


class ZstandardReader(io.RawIOBase):
    """The content of a Zstandard file of any number of frames; ``EOFError`` where one is cut short."""

    # What comes of one block of input is held whole: few bytes, since Zstandard can pack 30,000 to 1.
    _INPUT_BYTES = 8192

    def __init__(self, file: IO[bytes], new_frame: Callable[[], Any]) -> None:
        self._file, self._new_frame = file, new_frame
        self._frame: Any = None
        self._input = b""
        self._output = memoryview(b"")

    def readable(self) -> bool:
        """Say that this can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer as far as there is content at hand; 0 at the end."""
        while not self._output:
            if not self._input:
                self._input = self._file.read(self._INPUT_BYTES)
            if not self._input:
                if self._frame is not None:
                    raise EOFError("it ends in the middle; is the file complete?")
                return 0
            self._frame = self._frame or self._new_frame()
            self._output = memoryview(self._frame.decompress(self._input))
            self._input = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
        num_bytes = min(len(buffer), len(self._output))
        buffer[:num_bytes] = self._output[:num_bytes]
        self._output = self._output[num_bytes:]
        return num_bytes
