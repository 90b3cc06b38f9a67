"""Memory that is free in this process, and still counts as its own."""

from __future__ import annotations

import ctypes


def give_back_memory() -> None:
    """Hand free memory of the heap back to the system, where its C library can (glibc).

    glibc keeps what threads free, each thread's apart: a stage's memory would stand beside the next one's.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
