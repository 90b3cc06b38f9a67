"""A stored tensor on its way into another file: its values, or the bytes of another type and order of rows.

Matrices are turned a few million values at a time, so that no more than one of them is in memory, as it will be stored.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.base.gguf_blocks import dequantize, quantize
from textmill.checkpoint.key_value_heads import pooled
from textmill.checkpoint.stored_model import StoredTensor

_VALUES_AT_ONCE = 1 << 22
_FLOAT16_MAX = 65504.0
# The largest value that a type holds; the scales of blocks are float16 too.
_LARGEST = {"F16": _FLOAT16_MAX, "Q8_0": _FLOAT16_MAX * 127, "Q4_0": _FLOAT16_MAX * 8}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ConvertedTensor:
    """A tensor and what it is to become.

    Attributes:
        name: Hugging Face's, for messages.
        stored: the tensor as it lies on the disk.
        num_heads, head_dim: the key-value heads that its rows are to be pooled into; 0 where they stay.
        type: ggml's name of the type it is to be stored in.
        file_order: int64[out]: which of Hugging Face's rows each row is to be; None where they keep their order.
    """

    name: str
    stored: StoredTensor
    type: str
    num_heads: int = 0
    head_dim: int = 0
    file_order: NDArray[np.int64] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape it is to have."""
        rest = self.stored.shape[1:]
        return (self.num_heads * self.head_dim, *rest) if self.num_heads else self.stored.shape

    def read(self) -> NDArray[np.uint8]:
        """Return the bytes that are to be stored, uint8[num_bytes].

        Raises:
            DataError: a value is no finite number, or larger than the type holds.
        """
        if self.num_heads:
            values = pooled(read_values(self.stored), self.num_heads, self.head_dim)
            values = values if self.file_order is None else values[self.file_order]
            return self._quantized(values)
        order = _composed(self.stored.row_order, self.file_order)
        rows = _rows(self.stored)
        if self.type == self.stored.type:
            return rows.reshape(-1) if order is None else rows[order].reshape(-1)
        step = max(1, _VALUES_AT_ONCE // max(1, _row_size(self.stored)))
        places = [slice(begin, begin + step) for begin in range(0, len(rows), step)]
        parts = (rows[place] if order is None else rows[order[place]] for place in places)
        return np.concatenate([self._quantized(self._values(part)) for part in parts])

    def _values(self, rows: NDArray[np.uint8]) -> NDArray[np.float32]:
        return dequantize(self.stored.type, rows.reshape(-1), (len(rows), _row_size(self.stored)))

    def _quantized(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        largest = float(np.abs(values).max())
        if not np.isfinite(largest):
            raise DataError(f"{self.name} holds a value that is no finite number: the model is damaged, or diverged")
        if largest > _LARGEST.get(self.type, np.inf):
            raise DataError(
                f"{self.name} holds a value of {largest:g}, and {self.type.lower()} holds up to "
                f"{_LARGEST[self.type]:g}. Take bf16 or f32"
            )
        return quantize(self.type, values)


def read_values(stored: StoredTensor) -> NDArray[np.float32]:
    """Return the values of a tensor, float32[shape], in Hugging Face's order of rows; an array of its own."""
    rows = _rows(stored)
    rows = rows if stored.row_order is None else rows[stored.row_order]
    return dequantize(stored.type, rows.reshape(-1), stored.shape)


def values_by_parts(stored: StoredTensor) -> Iterator[NDArray[np.float32]]:
    """Yield the values of a tensor as ``read_values`` would give them, a few million at a time: float32[rows, rest]."""
    rows, size = _rows(stored), _row_size(stored)
    step = max(1, _VALUES_AT_ONCE // max(1, size))
    for begin in range(0, len(rows), step):
        place = slice(begin, begin + step)
        part = rows[place] if stored.row_order is None else rows[stored.row_order[place]]
        yield dequantize(stored.type, part.reshape(-1), (len(part), size))


def _rows(stored: StoredTensor) -> NDArray[np.uint8]:
    """[out, bytes of a row]; a row of a norm or a bias is one value."""
    return stored.data.reshape(stored.shape[0], -1)


def _row_size(stored: StoredTensor) -> int:
    return math.prod(stored.shape[1:])


def _composed(row_order: NDArray[np.int64] | None, file_order: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """Which row of the source each row of the target is; None where all stay in their places."""
    if row_order is None or file_order is None:
        return file_order if row_order is None else row_order
    order = row_order[file_order]
    return None if np.array_equal(order, np.arange(len(order))) else order
