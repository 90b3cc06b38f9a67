"""The core compiles without a warning under a second compiler, so that it leans on no one's extensions."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLANG = shutil.which("clang++-16")
WARNINGS = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror".split()


@pytest.mark.skipif(CLANG is None, reason="no clang++-16 here: sudo make system installs it")
@pytest.mark.parametrize("source", sorted(path.name for path in (ROOT / "cpp" / "tokenizer").glob("*.cpp")))
def test_clang_has_nothing_to_say(source):
    command = [
        CLANG,
        "-std=c++20",
        "-fsyntax-only",
        *WARNINGS,
        f"-I{ROOT / 'cpp'}",
        ROOT / "cpp" / "tokenizer" / source,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
