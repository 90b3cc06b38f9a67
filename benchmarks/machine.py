"""The machine that a benchmark ran on, for its page."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path


def machine(flags: Iterable[str]) -> str:
    """Name the processor, its cores, those of ``flags`` that it has, and Python."""
    info = dict(_pairs(Path("/proc/cpuinfo")))
    names = [f"{info.get('model name', platform.machine())}", f"{info.get('siblings', '?')} cores"]
    names += [flag for flag in flags if flag in info.get("flags", "").split()]
    return f"Machine: {', '.join(names)}, Linux {platform.release()}, Python {platform.python_version()}."


def _pairs(path: Path) -> Iterable[tuple[str, str]]:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        yield key.strip(), value.strip()
