"""llama.cpp built for this machine, in an environment of its own: its wheels are for any machine, and slower."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from inference_speed.places import LLAMA_CPP, ROOT

PACKAGE = "llama-cpp-python"
_CMAKE_ARGS = "-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF"

# Compilers before GCC 12.4 need it where the processor has AMX.
_TILE_CONFIG = Path(__file__).with_name("tile_config.h")


def version() -> str:
    """Read which version ``constraints.txt`` pins."""
    pinned = re.search(rf"^{PACKAGE}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    return pinned[1]


def build() -> Path:
    """Build llama.cpp where this version is not there yet, which takes minutes; returns the Python that has it."""
    python = LLAMA_CPP / "bin" / "python"
    stamp = LLAMA_CPP / "built.txt"
    wanted = f"{PACKAGE}=={version()} {_CMAKE_ARGS} {_TILE_CONFIG.read_text()}\n"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    print(f"building {PACKAGE} {version()} for this machine, which takes minutes", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", LLAMA_CPP], check=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    source = ["--constraint", ROOT / "constraints.txt", "--no-binary", PACKAGE, "--no-cache-dir", PACKAGE]
    settings = {"CMAKE_ARGS": _CMAKE_ARGS, "CXXFLAGS": f"-include {_TILE_CONFIG}"}
    subprocess.run([*pip, *source], check=True, env={**os.environ, **settings})
    stamp.write_text(wanted)
    return python
