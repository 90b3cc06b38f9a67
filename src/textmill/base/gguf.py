"""The GGUF container: a header of named values and of tensors, then the tensors' bytes. Only the header is read here.

    magic "GGUF", version (2 or 3), number of tensors, number of values; little-endian
    values    name, type, value: numbers, booleans, strings, and arrays of one of these
    tensors   name, shape, type, offset into the data
    data      at the next multiple of the value general.alignment (32 unless given)

Every count is checked against the bytes that are left before anything is taken, so a lying file costs a message and no
memory. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from textmill.base.errors import DataError
from textmill.base.gguf_types import TENSOR_TYPES, TensorType

Value = int | float | bool | str | list[str] | np.ndarray


_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS = {
    0: np.dtype("u1"),
    1: np.dtype("i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    _BOOL: np.dtype("u1"),
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
_VERSIONS = (2, 3)
_DIMENSIONS_MAX = 4  # what ggml allows
_NAME_BYTES_MAX = 63  # a tensor's, in ggml
_DEFAULT_ALIGNMENT = 32
# Strings cost about six times their bytes in Python; half a million tokens and as many merges take 20 MB of header.
_HEADER_BYTES_MAX = 1 << 27
_LENGTH = struct.Struct("<Q")
_SMALLEST_VALUE = 8 + 1 + 4 + 1  # a name of one byte, a type, a byte
_SMALLEST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8  # a name of one byte, one dimension, a type, an offset


class TensorInfo(NamedTuple):
    """Where a tensor lies: bytes ``start`` to ``end`` of the file.

    Attributes:
        type: how its values are stored.
        shape: the size of each dimension, the one whose values are neighbours last (in the file it is first).
        start, end: bytes of the file.
    """

    type: TensorType
    shape: tuple[int, ...]
    start: int
    end: int


class Header(NamedTuple):
    """What a file holds, read without its tensors.

    Attributes:
        values: what the file says of itself; an array of numbers is a numpy array, one of strings a list.
        tensors: by name, in the order of the file.
    """

    values: dict[str, Value]
    tensors: dict[str, TensorInfo]

    def value(self, name: str, kind: type[Any], default: Any) -> Any:
        """Return a value, or a default where there is none; raises ``DataError`` where it is of another kind."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise DataError(f"its {name} is {_kind_of(value)}, and must be {_KINDS.get(kind, kind.__name__)}")
        return value


_KINDS: dict[type[Any], str] = {
    int: "a whole number",
    bool: "true or false",
    str: "a string",
    list: "strings",
    np.ndarray: "numbers",
}


def _kind_of(value: Value) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def read_header(path: Path) -> Header:
    """Read and check a file's header; the tensors stay on the disk.

    Raises:
        DataError: the file is missing, truncated, big-endian, or its header contradicts itself.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path).header()
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is not a whole GGUF file: it is empty. Copy or download it again") from error


class _Reader:
    """Walks over the bytes of a header."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data, self._path = data, path
        self._file_bytes = len(data)
        self._limit = min(len(data), _HEADER_BYTES_MAX)
        self._at = 0

    def header(self) -> Header:
        magic = bytes(self._data[:4])
        if magic != b"GGUF":
            self._refuse(f"it begins with {magic!r}, not b'GGUF'")
        self._at = 4
        version = self._number(4)
        if version not in _VERSIONS:
            big_endian = int.from_bytes(version.to_bytes(4, "little"), "big") in _VERSIONS
            reason = "it is big-endian" if big_endian else f"its version is {version}"
            self._refuse(f"{reason}; textmill reads little-endian versions {_VERSIONS[0]} and {_VERSIONS[1]}")
        num_tensors, num_values = self._number(8), self._number(8)
        self._check_count(num_values, _SMALLEST_VALUE, "values")
        values: dict[str, Value] = {}
        for _ in range(num_values):
            name = self._name(values)
            values[name] = self._value(self._number(4), name)
        self._check_count(num_tensors, _SMALLEST_TENSOR, "tensors")
        entries: dict[str, tuple[TensorType, tuple[int, ...], int]] = {}
        for _ in range(num_tensors):
            name = self._name(entries)
            entries[name] = self._tensor(name)
        alignment = values.get("general.alignment", _DEFAULT_ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 8 or alignment % 8:
            self._refuse(f"its general.alignment is {str(alignment)[:40]}, and must be a multiple of 8")
        data_start = -(-self._at // alignment) * alignment
        tensors = {name: self._placed(name, entry, data_start, alignment) for name, entry in entries.items()}
        self._check_overlaps(tensors)
        return Header(values, tensors)

    def _tensor(self, name: str) -> tuple[TensorType, tuple[int, ...], int]:
        if len(name.encode()) > _NAME_BYTES_MAX:
            self._refuse(
                f'its tensor "{name[:80]}" has a name of {len(name):,} letters, and ggml takes {_NAME_BYTES_MAX}'
            )
        num_dimensions = self._number(4)
        if not 1 <= num_dimensions <= _DIMENSIONS_MAX:
            self._refuse(f'its tensor "{name}" has {num_dimensions} dimensions, and may have 1 to {_DIMENSIONS_MAX}')
        shape = tuple(self._number(8) for _ in range(num_dimensions))
        type_number, offset = self._number(4), self._number(8)
        if type_number not in TENSOR_TYPES:
            self._refuse(f'its tensor "{name}" has the type {type_number}, which textmill does not know')
        return TENSOR_TYPES[type_number], shape, offset

    def _placed(
        self, name: str, entry: tuple[TensorType, tuple[int, ...], int], data_start: int, alignment: int
    ) -> TensorInfo:
        tensor_type, shape, offset = entry
        if shape[0] % tensor_type.block_size:
            self._refuse(
                f'its tensor "{name}" has rows of {shape[0]}, which blocks of {tensor_type.block_size} '
                f"({tensor_type.name}) do not fill"
            )
        if offset % alignment:
            self._refuse(f'its tensor "{name}" is at offset {offset}, and must be at a multiple of {alignment}')
        start = data_start + offset
        end = start + math.prod(shape) // tensor_type.block_size * tensor_type.block_bytes
        if end > self._file_bytes:
            self._refuse(f'its tensor "{name}" ends at byte {end:,}, and the file at {self._file_bytes:,}')
        return TensorInfo(tensor_type, shape[::-1], start, end)

    def _check_overlaps(self, tensors: Mapping[str, TensorInfo]) -> None:
        end, before = 0, ""
        for name, info in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
            if info.start < end:
                self._refuse(f'its tensors "{before}" and "{name}" overlap')
            end, before = info.end, name

    def _value(self, value_type: int, name: str) -> Value:
        if value_type == _STRING:
            return self._string(name)
        if value_type == _ARRAY:
            return self._array(name)
        dtype = self._dtype(value_type, name)
        value = np.frombuffer(self._take(dtype.itemsize), dtype)[0].item()
        return self._bool(value, name) if value_type == _BOOL else value

    def _array(self, name: str) -> list[str] | np.ndarray:
        value_type, count = self._number(4), self._number(8)
        if value_type == _ARRAY:
            self._refuse(f'its value "{name}" is an array of arrays, which textmill does not read')
        if value_type == _STRING:
            self._check_count(count, _LENGTH.size, f'strings in "{name}"')
            return self._strings(count, name)
        dtype = self._dtype(value_type, name)
        self._check_count(count, dtype.itemsize, f'numbers in "{name}"')
        values = np.frombuffer(self._take(count * dtype.itemsize), dtype)
        if value_type != _BOOL:
            return values
        self._bool(int(values.max(initial=0)), name)
        return values.astype(bool)

    def _dtype(self, value_type: int, name: str) -> np.dtype[Any]:
        if value_type not in _NUMBERS:
            self._refuse(f'its value "{name}" has the type {value_type}, which textmill does not know')
        return _NUMBERS[value_type]

    def _bool(self, value: int, name: str) -> bool:
        if value > 1:
            self._refuse(f'its value "{name}" is a boolean of {value}, and must be 0 or 1')
        return bool(value)

    def _name(self, taken: Mapping[str, Any]) -> str:
        name = self._string("a name")
        if not name:
            self._refuse("a name is empty")
        if name in taken:
            self._refuse(f'it names "{name[:80]}" twice')
        return name

    def _string(self, where: str) -> str:
        data, at = self._data, self._at + _LENGTH.size
        if at > self._limit:
            self._end()
        end = at + _LENGTH.unpack_from(data, self._at)[0]
        if end > self._limit:
            self._end()
        self._at = end
        try:
            return data[at:end].decode()
        except UnicodeDecodeError as error:
            self._refuse(f'a string of "{where[:80]}" is not UTF-8: byte {at + error.start:,} of the file')

    def _strings(self, count: int, name: str) -> list[str]:
        """Read strings in one sweep: a vocabulary and its merges are a hundred thousand of them."""
        data, at, limit, length_at, width = self._data, self._at, self._limit, _LENGTH.unpack_from, _LENGTH.size
        strings: list[str] = []
        begin = at
        try:
            for _ in range(count):
                begin = at + width
                at = begin + length_at(data, at)[0]
                if at > limit:
                    self._end()
                strings.append(data[begin:at].decode())
        except struct.error:
            self._end()
        except UnicodeDecodeError as error:
            self._refuse(f'a string of "{name[:80]}" is not UTF-8: byte {begin + error.start:,} of the file')
        self._at = at
        return strings

    def _number(self, num_bytes: int) -> int:
        return int.from_bytes(self._take(num_bytes), "little")

    def _take(self, num_bytes: int) -> bytes:
        begin, self._at = self._at, self._at + num_bytes
        if self._at > self._limit:
            self._end()
        return self._data[begin : self._at]

    def _check_count(self, count: int, smallest: int, what: str) -> None:
        left = self._limit - self._at
        if count * smallest > left:
            self._refuse(
                f"its header claims {count:,} {what}, which take at least {count * smallest:,} bytes, and "
                f"{left:,} {'are left' if self._limit == self._file_bytes else 'more are read of a header'}"
            )

    def _end(self) -> NoReturn:
        if self._limit < self._file_bytes:
            self._refuse(f"its header does not end within {self._limit:,} bytes")
        self._refuse(f"it ends within its header, after {self._file_bytes:,} bytes")

    def _refuse(self, reason: str) -> NoReturn:
        raise DataError(f"{self._path} is not a whole GGUF file: {reason}. Copy or download it again")
