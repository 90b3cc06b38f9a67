"""An environment of another project's packages over this one's: made once, in the user's cache, and kept."""

import functools
import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import platformdirs
import pytest

from fakes.made_once import one_at_a_time


@functools.cache
def _make(name, packages):
    """The environment's Python, or why it cannot be had; asked once for all tests."""
    root = Path(os.environ.get("TEXTMILL_TEST_DATA") or platformdirs.user_cache_path("textmill-tests"))
    # One for each environment below: of two checkouts each is tested by its own.
    below = hashlib.sha256(sysconfig.get_path("purelib").encode()).hexdigest()[:8]
    folder = root / f"{name}-{sys.version_info[0]}.{sys.version_info[1]}-{below}"
    with one_at_a_time(folder):
        return _install(folder, packages)


def _install(folder, packages):
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    if stamp.is_file() and stamp.read_text() == " ".join(packages):
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True)
        # Its packages come first; what they share with this environment, torch above all, is not installed twice.
        (site,) = (folder / "lib").glob("python*/site-packages")
        (site / "zz_below.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        install = [python, "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(install, check=True, capture_output=True, text=True, timeout=560)
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or str(error)
        return f"{' and '.join(packages)} cannot be installed: {str(told).strip().splitlines()[-1]}"
    stamp.write_text(" ".join(packages))
    return python


def peer_python(name, *packages):
    """Its Python; skips, with the reason, where the packages are not there and cannot be fetched."""
    found = _make(name, packages)
    if isinstance(found, str):
        pytest.skip(found)
    return found
