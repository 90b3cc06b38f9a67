"""A function in a process of its own: what it leaves in memory is gone, and is not counted for what runs next.

A process begins with the peak memory of the one that started it, so whoever measures memory must be small.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module there, and return what it returns."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
