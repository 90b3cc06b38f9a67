"""How glibc's allocator treats large tensors: keep their memory for the next, or give it back at once.

By itself it raises its threshold of 128 KiB with each large block that is freed, up to 32 MiB, and takes smaller ones
from a heap that hardly ever shrinks. That is quick, as no page is fetched anew, and takes up to a tenth more memory.
"""

from __future__ import annotations

import ctypes
import ctypes.util

_M_MMAP_THRESHOLD = -3
_BLOCK_BYTES = 1 << 20


def give_back_at_once() -> bool:
    """Let this process hold no more than it asks for: blocks of 1 MiB and more go back to the system when freed.

    A step of 135 M parameters on 1,024 tokens then takes 3 to 8 % less memory, and of the processor 4 to 11 % more time
    in f32 and 40 % more in bf16; one of small tensors (192 wide, 4,096 tokens) takes 20 to 60 % more. It is for when
    memory is short. Returns whether it worked: it does where the C library is glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if ctypes.util.find_library("c") else None
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, _BLOCK_BYTES))
