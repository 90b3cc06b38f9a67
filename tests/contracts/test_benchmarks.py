"""The scripts of benchmarks/, as far as they can be run in a moment."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("script", sorted(BENCHMARKS.rglob("*.py")), ids=lambda script: script.stem)
def test_what_they_take_from_textmill_is_there(script):
    """Peers that they import are not installed here, so nothing else notices a name that has moved."""
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "textmill":
            try:
                module = importlib.import_module(node.module)
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] == "textmill":
                    raise
                continue  # a room's door to a peer, which only the peer's own environment can open
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")


def test_without_the_model_nothing_is_built(tmp_path):
    """Neither a package index nor a cache is within reach: a build would end with another message."""
    environment = os.environ | {"TEXTMILL_CACHE": str(tmp_path), "PIP_NO_INDEX": "1"}
    script = [sys.executable, str(BENCHMARKS / "inference.py")]
    result = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Fetch it with: textmill model get smollm2-135m-instruct" in result.stderr
    assert "building" not in result.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_part_of_memory_counts_twelve_kinds_of_steps():
    """On a CPU in the device's place, of a tiny model, where what the formula leaves out (angles, ids) is up to 8 %."""
    pytest.importorskip("torch")
    command = [sys.executable, "gpu.py", "--device", "cpu", "--small", "--only", "training-memory"]
    result = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = [line.split("|")[1:-1] for line in result.stdout.splitlines() if line.startswith(("| 124M", "| 350M"))]
    assert len(rows) == 12
    assert max(abs(float(row[7].strip("% "))) for row in rows) <= 10, result.stdout


TRACKED = """
from gpu_parts import training
for remat in ("none", "llama", "full"):
    step = training._Step(training.sizes("124M", small=False), 32, training.CONTEXT, remat, "adamw", 32)
    print(training._predicted(step), training._tracked(step, "cpu"))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_formula_of_a_gpus_memory_is_what_memtracker_counts():
    """At full size, on tensors without values; 0.5 % is far more than it leaves out, and less than errors would be."""
    pytest.importorskip("torch")
    command = [sys.executable, "-c", TRACKED]
    result = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    for predicted, tracked in (map(int, line.split()) for line in result.stdout.splitlines()):
        assert predicted == pytest.approx(tracked, rel=0.005)
