"""The core compiles without a warning under a second compiler, so that it leans on no one's extensions."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLANG = shutil.which("clang++-16")
SOURCES = sorted(
    str(p.relative_to(ROOT / "cpp"))
    for room in ("tokenizer", "engine", "training")
    for p in (ROOT / "cpp" / room).glob("*.cpp")
)
AVX512 = "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512bf16 -mfma -mf16c -mbmi2".split()
AMX = "-mamx-tile -mamx-int8 -mamx-bf16".split()
FLAGS = {
    "engine/kernels_avx512.cpp": AVX512,
    "engine/kernels_amx.cpp": [*AVX512, *AMX],
    "training/attention_avx512.cpp": AVX512,
    "training/kernels_avx512.cpp": AVX512,
}
WARNINGS = "-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror".split()


@pytest.mark.skipif(CLANG is None, reason="no clang++-16 here: sudo make system installs it")
@pytest.mark.parametrize("source", SOURCES)
def test_clang_has_nothing_to_say(source):
    command = [
        CLANG,
        "-std=c++20",
        "-fsyntax-only",
        *WARNINGS,
        f"-I{ROOT / 'cpp'}",
        *FLAGS.get(source, ()),
        ROOT / "cpp" / source,
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
