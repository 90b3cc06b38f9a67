"""Environments of clients' packages, one each as their pins exclude one another: made once, under build/, and kept."""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[3] / "build" / "clients"


@functools.cache
def _make(name, packages):
    """The environment's Python, or why it cannot be had; asked once for all tests."""
    folder = FOLDER / name
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = " ".join((sys.version, *packages))
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, capture_output=True)
        install = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *packages]
        subprocess.run(install, check=True, capture_output=True, text=True)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        return f"{' and '.join(packages)} cannot be installed: {str(told).strip().splitlines()[-1]}"
    stamp.write_text(wanted)
    return python


def client_python(name, *packages):
    """Its Python; skips, with the reason, where the packages are not there and cannot be fetched."""
    found = _make(name, packages)
    if isinstance(found, str):
        pytest.skip(found)
    return found
