"""Token ids as callers give them: lists, arrays or iterators of whole numbers, checked."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError

_MOST = (1 << 63) - 1
_MOST_SHOWN_BITS = 128


def to_array(ids: Iterable[SupportsIndex], vocab_size: int) -> NDArray[np.int64]:
    """Return ids as int64[n]; they need not be tokens.

    Raises:
        TypeError: ``ids`` is text, or not iterable.
        DataError: it is not one list of whole numbers, or one is far out of range.
    """
    if hasattr(ids, "offsets"):
        raise TypeError("ids is a TokenBatch, of several texts; decode each: [tokenizer.decode(ids) for ids in batch]")
    if isinstance(ids, np.ndarray) and ids.ndim != 1 and ids.size > 0:
        raise DataError(f"ids has {ids.ndim} dimensions, and must have one: a list of whole numbers")
    if isinstance(ids, str | bytes) or not isinstance(ids, Iterable):
        raise TypeError(f"ids must be a list of whole numbers, and is a {type(ids).__name__}")
    if not isinstance(ids, np.ndarray):
        ids = list(ids)
    array = _plain_array(ids)
    if array is None:
        array = np.array([_checked(item, place, vocab_size) for place, item in enumerate(ids)], dtype=np.int64)
    return np.ascontiguousarray(array, dtype=np.int64)


def to_id(token_id: SupportsIndex, vocab_size: int) -> int:
    """Return an id as an int.

    Raises:
        TypeError: it is not a whole number.
        DataError: it is outside the vocabulary.
    """
    try:
        if isinstance(token_id, bool):
            raise TypeError
        number = operator.index(token_id)
    except TypeError:
        raise TypeError(f"token_id must be a whole number, and is a {type(token_id).__name__}") from None
    if not 0 <= number < vocab_size:
        raise DataError(f"id {shown(number)} is no token: the vocabulary has ids 0 to {vocab_size - 1}")
    return number


def shown(number: int) -> str:
    """Write a number for a message; Python refuses to write those of thousands of digits."""
    return str(number) if number.bit_length() <= _MOST_SHOWN_BITS else f"of {number.bit_length()} bits"


def _plain_array(ids: Any) -> NDArray[np.integer] | None:
    """The ids as an array, or None where they must be looked at one by one."""
    try:
        array = np.asarray(ids)
    except (ValueError, OverflowError):  # lists of different lengths
        return None
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    return array if array.ndim == 1 and array.dtype.kind in "iu" and array.dtype != np.uint64 else None


def _checked(item: Any, place: int, vocab_size: int) -> int:
    is_number = isinstance(item, int | np.integer) and not isinstance(item, bool)
    if not is_number:
        raise DataError(f"ids[{place}] is a {type(item).__name__}; ids must be one list of whole numbers")
    if not 0 <= item <= _MOST:
        raise DataError(
            f"cannot decode: id {shown(int(item))} at place {place} is no token: the vocabulary has ids 0 to "
            f"{vocab_size - 1}"
        )
    return int(item)
