"""The extension of the context, on held-out modules: more text before a token helps, and short texts lose nothing.

Beside it stands a run without: the same steps on the same text, at the old context throughout.

Minutes, so it runs where TEXTMILL_EXTENSION_STEPS says for how many steps before the extension and in it (700,700).
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest

pytest.importorskip("torch")

STEPS = os.environ.get("TEXTMILL_EXTENSION_STEPS")
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.skipif(STEPS is None, reason="minutes: TEXTMILL_EXTENSION_STEPS=700,700 runs it")
def test_a_longer_context_is_used_and_the_shorter_one_kept(tmp_path):
    steps, more = STEPS.split(",")
    command = [sys.executable, "-m", "training_parts.extension", str(tmp_path)]
    command += ["--steps", steps, "--extension-steps", more]
    result = subprocess.run(command, cwd=BENCHMARKS, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout)
    after, without = scores["after"], scores["without"]
    assert fmean(after[4:8]) < after[1], "bits per byte at positions 512 to 1,023, and at 128 to 255"
    gain, low, high = scores["gain"]
    assert 0 < low < gain < high, "at 512 to 1,023, less than at the last positions without, by more than chance"
    before = fmean(scores["before"])
    assert fmean(after[:2]) <= 1.01 * before, "below 256 nothing is lost of what was there"
    # A window of 1,024 has a quarter of its tokens there, where one of 256 has all: 1.2 % was measured.
    assert fmean(after[:2]) <= 1.03 * fmean(without[:2]), "below 256, beside as many steps more at 256"
