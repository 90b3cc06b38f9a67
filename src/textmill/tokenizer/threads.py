"""How many threads the native code may use."""

from __future__ import annotations

import numpy as np

from textmill.base.errors import ConfigError

_MAX_THREADS = 1024


def check_threads(threads: int | None) -> int:
    """Check a number of threads; None is one for each core, which the native code writes as 0."""
    if threads is None:
        return 0
    is_number = isinstance(threads, int | np.integer) and not isinstance(threads, bool)
    if not is_number or not 1 <= threads <= _MAX_THREADS:
        raise ConfigError(f"threads is {threads!r}, and must be a number from 1 to {_MAX_THREADS}, or None")
    return int(threads)
