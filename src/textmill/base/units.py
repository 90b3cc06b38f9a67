"""Quantities as people read and write them: 1,234,567 tokens as 1.2M, 5 GB, 1m 05s."""

from __future__ import annotations

import math
import re

_COUNT = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def count(value: float) -> str:
    """Write a count in at most four characters and a letter: ``12.4M``."""
    for size, letter in _COUNT:
        if value >= size:
            return f"{value / size:.3g}{letter}" if value / size < 1000 else f"{value / size:.0f}{letter}"
    return f"{value:.0f}"


def read_count(text: str) -> int:
    """Read a count as people write it: ``30M``, ``1.5B``, ``250k``, ``3e7``, ``1_000_000``.

    Raises:
        ValueError: it is none of these.
    """
    match = re.fullmatch(r"([+-]?\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d{1,2})?) ?([kKmMbBtT]?)", text.strip())
    if match is None:
        raise ValueError(f'"{text}" is no count, such as 30M, 1.5B or 3e7')
    sizes = {letter.lower(): size for size, letter in _COUNT}
    value = float(match[1]) * sizes.get(match[2].lower(), 1)
    if not math.isfinite(value):
        raise ValueError(f'"{text}" is larger than any count')
    return round(value)


def plural(value: int, noun: str) -> str:
    """Say a noun as it is said of so many: ``document`` of one, ``documents`` of any other number."""
    return noun if value == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"


def num_bytes(value: float) -> str:
    """Write a number of bytes with its decimal unit: ``12.1 MB``."""
    for size, unit in _BYTES:
        if value >= size:
            return f"{value / size:.3g} {unit}" if value / size < 1000 else f"{value / size:.0f} {unit}"
    return f"{value:.0f} B"


def seconds(value: float) -> str:
    """Write a duration: ``0.34 ms``, ``850 ms``, ``12.3 s``, ``2m 05s``, ``3h 20m``."""
    if value < 0.01:
        return f"{value * 1000:.2g} ms"
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{int(value // 60)}m {int(value % 60):02d}s"
    return f"{int(value // 3600)}h {int(value % 3600 // 60):02d}m"
