"""Files mapped into memory and not kept open, as Python's own mappings are: a set may have thousands of files."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FAILED = ctypes.c_void_p(-1).value


def map_file(path: Path) -> NDArray[np.uint8]:
    """Map a file's bytes, uint8[n], which cannot be written to; one that is missing or empty has none.

    Raises:
        OSError: it cannot be opened, or there is no room for it among the process's addresses.
    """
    size = path.stat().st_size if path.is_file() else 0
    if size == 0:
        return np.empty(0, np.uint8)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        address = _libc().mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    finally:
        os.close(descriptor)
    if address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return np.asarray(_Mapping(address, size))


class _Mapping:
    """Mapped bytes, which an array that is made of them keeps."""

    def __init__(self, address: int, size: int) -> None:
        self.__array_interface__ = {"data": (address, True), "shape": (size,), "typestr": "|u1", "version": 3}
        self._unmap = functools.partial(_libc().munmap, address, size)

    def __del__(self) -> None:
        self._unmap()


@functools.cache
def _libc() -> Any:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_int64)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    return libc
