"""Writing a GGUF container (version 3), a tensor at a time; ``gguf`` reads it and says how it is laid out.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from textmill.base.errors import DataError
from textmill.base.files import new_file
from textmill.base.gguf import Value
from textmill.base.gguf_types import TENSOR_TYPES

_ALIGNMENT = 32
_BOOL, _STRING, _ARRAY = 7, 8, 9
_NUMBERS = {
    "u1": 0,
    "i1": 1,
    "u2": 2,
    "i2": 3,
    "u4": 4,
    "i4": 5,
    "f4": 6,
    "b1": _BOOL,
    "u8": 10,
    "i8": 11,
    "f8": 12,
}
_TYPES = {tensor_type.name: (number, tensor_type) for number, tensor_type in TENSOR_TYPES.items()}


class TensorToWrite(NamedTuple):
    """A tensor of a file that is to be written.

    Attributes:
        name: its name in the file.
        type: ggml's name of how its values are stored.
        shape: the dimension whose values are neighbours last.
        read: gives its bytes, uint8[num_bytes], when their turn comes; no more than one tensor is held.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]

    @property
    def num_bytes(self) -> int:
        """How many bytes its blocks take; raises ``DataError`` where blocks do not fill its rows."""
        _, tensor_type = _TYPES[self.type]
        if self.shape[-1] % tensor_type.block_size:
            raise DataError(
                f'the rows of "{self.name}" have {self.shape[-1]} values, which blocks of {tensor_type.block_size} '
                f"({self.type}) do not fill"
            )
        return math.prod(self.shape) // tensor_type.block_size * tensor_type.block_bytes


def save(path: Path, values: Mapping[str, Value], tensors: Sequence[TensorToWrite]) -> None:
    """Write a file, whole or not at all.

    Args:
        path: of the file.
        values: by name. A whole number is written in 32 bits where it fits, a fraction as float32, an array in its
            own type.
        tensors: in the order that they are to have.

    Raises:
        DataError: a value has no type in the format, or a tensor's bytes are not as many as its shape says.
        StorageError: the disk is full or may not be written to.
    """
    header = _header(values, tensors)
    with new_file(path) as file:
        file.write(header)
        for tensor in tensors:
            data = np.ascontiguousarray(tensor.read()).reshape(-1).view(np.uint8)
            if data.size != tensor.num_bytes:
                raise DataError(f'"{tensor.name}" came as {data.size:,} bytes, and takes {tensor.num_bytes:,}')
            file.write(data.data)
            file.write(bytes(-data.size % _ALIGNMENT))


def _header(values: Mapping[str, Value], tensors: Sequence[TensorToWrite]) -> bytes:
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(values))]
    for name, value in values.items():
        parts += [_text(name), _value(name, value)]
    offset = 0
    for tensor in tensors:
        sizes = struct.pack(f"<I{len(tensor.shape)}Q", len(tensor.shape), *reversed(tensor.shape))
        parts += [_text(tensor.name), sizes, struct.pack("<IQ", _TYPES[tensor.type][0], offset)]
        offset += tensor.num_bytes + -tensor.num_bytes % _ALIGNMENT
    header = b"".join(parts)
    return header + bytes(-len(header) % _ALIGNMENT)


def _value(name: str, value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, list):
        return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_text, value))
    if isinstance(value, np.ndarray):
        if value.dtype.str[1:] not in _NUMBERS or value.ndim != 1:
            raise DataError(f'the value "{name}" is an array of {value.dtype}, which GGUF does not hold')
        number = _NUMBERS[value.dtype.str[1:]]
        data = value.astype(value.dtype.newbyteorder("<")).tobytes()
        return struct.pack("<IIQ", _ARRAY, number, len(value)) + data
    for is_kind, number, layout in (
        (isinstance(value, bool), _BOOL, "?"),
        (isinstance(value, float), 6, "f"),
        (isinstance(value, int) and 0 <= value < 1 << 32, 4, "I"),
        (isinstance(value, int) and -(1 << 31) <= value < 0, 5, "i"),
        (isinstance(value, int) and 0 <= value < 1 << 64, 10, "Q"),
        (isinstance(value, int) and -(1 << 63) <= value < 0, 11, "q"),
    ):
        if is_kind:
            return struct.pack(f"<I{layout}", number, value)
    raise DataError(f'the value "{name}" is {str(value)[:40]!r}, which GGUF does not hold')


def _text(content: str) -> bytes:
    data = content.encode()
    return struct.pack("<Q", len(data)) + data
