"""What this machine gives to a model: memory, and how fast it is read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

# Far beyond any cache that is shared by the cores, and a small part of the memory.
_READ_BYTES = 1 << 28
_CGROUPS = Path("/sys/fs/cgroup")
# Versions 2 and 1: the limit, what is used, and the entries of memory.stat that count files in the page cache. These
# are part of what is used, and the kernel gives them back when memory is asked for: models are such files.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", ("inactive_file", "active_file")),
    (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        ("total_inactive_file", "total_active_file"),
    ),
)


# bf16 operations a second of a GPU, dense, by the vendor's data sheets (SXM modules).
PEAK_FLOPS = {"a100": 312e12, "h100": 989e12, "h200": 989e12}


class Memory(NamedTuple):
    """Bytes of memory that this process could use: in all, and free now."""

    total: int
    available: int


def memory(cgroups: Path = _CGROUPS) -> Memory:
    """Read how much memory there is; the limit of a container counts where it is lower.

    ``cgroups`` is where the kernel tells of it.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    available = _meminfo().get("MemAvailable", total)
    for limit_file, used_file, stat_file, cached in _CGROUP_FILES:
        limit, used = _number(cgroups / limit_file), _number(cgroups / used_file)
        if limit is not None and used is not None and limit < total:
            stat = _stat(cgroups / stat_file)
            used = max(0, used - sum(stat.get(name, 0) for name in cached))
            total, available = limit, min(available, max(0, limit - used))
    return Memory(total, available)


def published_peak(name: str) -> float | None:
    """Dense bf16 operations a second of a GPU by the name that its driver gives, "NVIDIA H100 80GB HBM3" say.

    None where the table has not its very module: cards of the same chip (PCIe, NVL) have lower clocks.
    """
    words = name.lower().replace("-", " ").split()
    if any(word in words for word in ("pcie", "nvl", "mig")):
        return None
    return next((peak for gpu, peak in PEAK_FLOPS.items() if gpu in words), None)


def num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_bandwidth(num_threads: int | None = None, num_bytes: int = _READ_BYTES) -> float:
    """Measure how fast memory is read, in bytes a second, by the core that reads weights; takes about 0.3 s.

    Args:
        num_threads: that read at once, each its own part; all cores unless given.
        num_bytes: to read in a pass.
    """
    from textmill import _core

    return _core.read_bandwidth(num_threads or num_cores(), num_bytes)


def _meminfo() -> dict[str, int]:
    """Linux's figures, in bytes; nothing elsewhere."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return {}
    fields = (line.partition(":") for line in lines)
    return {name: 1024 * int(value.split()[0]) for name, _, value in fields if value.strip().endswith("kB")}


def _stat(path: Path) -> dict[str, int]:
    """The lines of memory.stat, a name and a number each."""
    try:
        pairs = [line.split() for line in path.read_text().splitlines()]
        return {name: int(number) for name, number in pairs}
    except (OSError, ValueError):
        return {}


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None
