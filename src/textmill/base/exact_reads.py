"""Reads that bring as many bytes as were asked for, or an error that names the file and the fix."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError


@contextlib.contextmanager
def read_errors(path: Path, fix: str) -> Iterator[None]:
    """Turn what goes wrong with reading a file, or with what is in it, into a ``DataError`` that ends with a fix."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}; {fix}") from error
    except (ValueError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}); {fix}") from error


def fill(array: NDArray[Any], file: BinaryIO, begin: int) -> None:
    """Read into the whole of an array, contiguous, from byte ``begin`` of a file on.

    Raises:
        ValueError: the file ends before; ``read_errors`` says so to the user.
    """
    assert array.flags.c_contiguous
    file.seek(begin)
    num_bytes = file.readinto(array.reshape(-1).view(np.uint8).data)  # type: ignore[attr-defined]
    if num_bytes != array.nbytes:
        raise ValueError(f"{file.seek(0, os.SEEK_END)} bytes, and {begin + array.nbytes} are needed")
