"""Files of a few long arrays: mapped, opened without reading them, every block checked when it is first touched.

Little-endian. 8 bytes that name the kind; uint64 bytes of the header; the header, JSON: ``arrays`` (name, dtype, where
each begins and how many values it has) and ``facts``; each array, from a multiple of 64 bytes on. Then uint64
checksums, one for each block of 4 KiB of all before; uint64 bytes of all before; uint64 checksum of these two.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.base.files import new_file, storage_errors
from textmill.data.hashed_writer import HashedWriter
from textmill.data.mapped_file import map_file
from textmill.text.checked_files import CheckedFiles
from textmill.text.checksums import block_checksums

# Rows are looked up at random, and a block is read whole when it is first touched.
BLOCK_BYTES = 4096
_ALIGNMENT = 64
_TRAILER_BYTES = 16
_IN_MEMORY_BYTES = 1 << 20
_COPY_BYTES = 1 << 20


class ArrayFileWriter:
    """Gathers arrays piece by piece, in temporary files where they are long, and writes them as one file.

    Args:
        path: where the file goes.
        kind: 8 bytes that name what it is.
        dtypes: the arrays' names and little-endian dtypes, in the order they are to stand.
    """

    def __init__(self, path: Path, kind: bytes, dtypes: Mapping[str, str]) -> None:
        assert len(kind) == 8, kind
        self._path = path
        self._kind = kind
        self._dtypes = {name: np.dtype(dtype) for name, dtype in dtypes.items()}
        self._counts = dict.fromkeys(dtypes, 0)
        self._parts: dict[str, tempfile.SpooledTemporaryFile[bytes]] = {}
        self._open = ExitStack()

    def __enter__(self) -> ArrayFileWriter:
        with storage_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        for name in self._dtypes:
            part = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES, dir=str(self._path.parent))
            self._parts[name] = self._open.enter_context(part)
        return self

    def __exit__(self, *_: object) -> None:
        with storage_errors(self._path):  # what could not be written is tried once more
            self._open.close()

    def append(self, name: str, values: NDArray) -> None:
        """Add values to the end of an array."""
        with storage_errors(self._path):
            self._parts[name].write(np.ascontiguousarray(values, self._dtypes[name]).tobytes())
        self._counts[name] += len(values)

    def finish(self, facts: Mapping[str, Any] | None = None) -> str:
        """Write the file, whole or not at all; returns its sha256."""
        header, offsets = self._header(facts or {})
        with new_file(self._path) as file, HashedWriter(file, BLOCK_BYTES) as writer:
            writer.write(header)
            for name, part in self._parts.items():
                writer.write(bytes(offsets[name] - writer.num_bytes))
                part.seek(0)
                while data := part.read(_COPY_BYTES):
                    writer.write(data)
            writer.write(bytes(-writer.num_bytes % 8))
            table = np.concatenate([writer.checksums(), np.array([writer.num_bytes], np.uint64)]).astype("<u8")
            writer.write(table)
            writer.write(block_checksums(table.view(np.uint8), table.nbytes).astype("<u8"))
            return writer.sha256()

    def _header(self, facts: Mapping[str, Any]) -> tuple[bytes, dict[str, int]]:
        """Lay the file out; where the arrays begin is found anew until the header's own length fits."""
        offsets = dict.fromkeys(self._dtypes, 0)
        while True:
            arrays = {
                name: {"dtype": dtype.str, "offset": offsets[name], "count": self._counts[name]}
                for name, dtype in self._dtypes.items()
            }
            text = json.dumps({"arrays": arrays, "facts": facts}, separators=(",", ":")).encode()
            header = self._kind + len(text).to_bytes(8, "little") + text
            end, before = len(header), offsets
            offsets = {}
            for name, dtype in self._dtypes.items():
                offsets[name] = end + -end % _ALIGNMENT
                end = offsets[name] + self._counts[name] * dtype.itemsize
            if offsets == before:
                return header, offsets


class ArrayFile:
    """A file of arrays, opened.

    Args:
        path: the file.
        kind: the 8 bytes that it must begin with.
        remedy: how it is got back where it is damaged, to end errors with.

    Attributes:
        facts: what its writer said of it.

    Raises:
        DataError: it is missing, cut short, of another kind, or its header is damaged.
    """

    def __init__(self, path: Path, kind: bytes, remedy: str) -> None:
        self.path = path
        self._remedy = remedy
        self._bytes = map_file(path)
        num_bytes = self._find_end(kind)
        table = self._bytes[num_bytes : len(self._bytes) - _TRAILER_BYTES].view("<u8")
        self._file = CheckedFiles([path], [self._bytes[:num_bytes]], [table], BLOCK_BYTES, remedy)
        self._check_bytes(0, 16)
        header_end = 16 + int.from_bytes(self._bytes[8:16].tobytes(), "little")
        if header_end > num_bytes:
            raise self._not_whole()
        self._check_bytes(0, header_end)
        header = json.loads(self._bytes[16:header_end].tobytes())
        self.facts: dict[str, Any] = header["facts"]
        self._places: dict[str, tuple[int, int]] = {}
        self._arrays: dict[str, NDArray] = {}
        for name, array in header["arrays"].items():
            dtype, begin = np.dtype(array["dtype"]), array["offset"]
            end = begin + array["count"] * dtype.itemsize
            self._places[name] = (begin, dtype.itemsize)
            self._arrays[name] = self._bytes[begin:end].view(dtype)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def unchecked(self, name: str) -> NDArray:
        """Return a whole array, mapped, whose blocks are still to be checked (``check``) where they are used."""
        return self._arrays[name]

    def check(self, name: str, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        """Check the values [begin, end) of an array; raises ``DataError`` where a block of them is damaged."""
        start, size = self._places[name]
        self._file.check(0, start + begins * size, start + ends * size)

    def read(self, name: str, begin: int = 0, end: int | None = None) -> NDArray:
        """Return the values [begin, end) of an array, mapped and checked."""
        values = self._arrays[name]
        end = len(values) if end is None else end
        self.check(name, np.array([begin]), np.array([end]))
        return values[begin:end]

    def check_all(self) -> None:
        """Check every block."""
        self._check_bytes(0, int.from_bytes(self._bytes[-16:-8].tobytes(), "little"))

    def _check_bytes(self, begin: int, end: int) -> None:
        self._file.check(0, np.array([begin]), np.array([end]))

    def _find_end(self, kind: bytes) -> int:
        """Find where the checksums begin, and check them."""
        size = len(self._bytes)
        if size < 16 + _TRAILER_BYTES or self._bytes[:8].tobytes() != kind:
            raise self._not_whole()
        num_bytes = int.from_bytes(self._bytes[-16:-8].tobytes(), "little")
        num_blocks = -(-num_bytes // BLOCK_BYTES)
        if num_bytes % 8 or num_bytes < 16 or size != num_bytes + 8 * num_blocks + _TRAILER_BYTES:
            raise self._not_whole()
        table = self._bytes[num_bytes:-8]
        if int(block_checksums(table, len(table))[0]) != int.from_bytes(self._bytes[-8:].tobytes(), "little"):
            raise DataError(f"{self.path} is damaged: its checksums are not what was written; {self._remedy}")
        return num_bytes

    def _not_whole(self) -> DataError:
        return DataError(
            f"{self.path} is missing, cut short or not what it should be ({len(self._bytes)} bytes); {self._remedy}"
        )


def check_array_file(path: Path, remedy: str) -> None:
    """Check every block of a file of arrays, whatever its kind; raises ``DataError`` with the first damaged one."""
    ArrayFile(path, map_file(path)[:8].tobytes(), remedy).check_all()
