"""The memory of this process, from /proc."""

from pathlib import Path


def reset_peak() -> None:
    """Let the peak begin again at what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def resident() -> int:
    """Return the bytes that are in memory now."""
    return _status("VmRSS")


def peak() -> int:
    """Return the most bytes that were in memory since the process or ``reset_peak``."""
    return _status("VmHWM")


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")
