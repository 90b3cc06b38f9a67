"""What a step takes, against the memory that a process took, and against what a reader would add up."""

import subprocess
import sys
from pathlib import Path

import pytest

from textmill.model.activation_bytes import saved_bytes_per_block
from textmill.model.presets import preset
from textmill.model.training_bytes import training_bytes

ONE_STEP = Path(__file__).parent / "one_step.py"
SMOLLM2 = preset("smollm2-135m")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("remat", "micro_rows", "dtype"),
    [
        ("none", 1, "f32"),
        ("none", 2, "f32"),
        ("llama", 1, "f32"),
        ("llama", 2, "f32"),
        ("full", 2, "f32"),
        ("none", 2, "bf16"),
        ("llama", 1, "bf16"),
    ],
)
def test_the_peak_of_a_step_is_within_5_percent(remat, micro_rows, dtype):
    command = [sys.executable, str(ONE_STEP), remat, str(micro_rows), dtype]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert result.returncode == 0, result.stderr
    reckoned = training_bytes(SMOLLM2, micro_rows=micro_rows, context=1024, dtype=dtype, remat=remat).peak
    assert reckoned == pytest.approx(int(result.stdout), rel=0.05)


def test_parts_of_a_step():
    """By hand, of SmolLM2-135M: 134,515,008 parameters, 30 blocks of 3,538,944 in matrices, a table of 28,311,552."""
    parts = training_bytes(SMOLLM2, micro_rows=2, context=1024, dtype="bf16", remat="none")
    assert parts.weights == parts.gradients == 4 * 134_515_008
    assert parts.optimizer_state == 8 * 134_515_008
    assert parts.weight_casts == 2 * 30 * 3_538_944
    assert parts.head_gradient == parts.table_gradient == 4 * 28_311_552
    # 4 x 576 + 3 x 576 + 3 x 192 + 3 x 1,536 values, and 2 + 9 numbers in f32, of 2,048 tokens.
    assert parts.saved_activations == 30 * 2048 * (2 * (2304 + 1728 + 576 + 4608) + 4 * 11)
    # 512 rows of logits in bf16, which become their gradient; the head in bf16, and its gradient's product.
    assert parts.loss == 512 * 49_152 * 2 + 2 * 2 * 28_311_552
    muon = training_bytes(SMOLLM2, micro_rows=2, context=1024, dtype="bf16", remat="none", optimizer="muon")
    assert muon.optimizer_state == 8 * 134_515_008 - 4 * 30 * 3_538_944
    assert muon.optimizer == 4 * 60 * (5 * 1536 * 576 + 3 * 576**2)


def test_llama_saves_35_percent_less_than_none_at_135m():
    for dtype in ("f32", "bf16"):
        sizes = {"batch": 1, "context": 1024, "dtype": dtype}
        none = saved_bytes_per_block(SMOLLM2, remat="none", **sizes).activations
        llama = saved_bytes_per_block(SMOLLM2, remat="llama", **sizes).activations
        assert llama <= 0.65 * none


def test_a_peak_grows_with_everything_that_it_holds():
    def peak(**changes):
        options = {"micro_rows": 1, "context": 1024, "dtype": "f32", "remat": "llama"} | changes
        return training_bytes(SMOLLM2, **options).peak

    assert peak(remat="full") < peak() < peak(remat="none")
    assert peak(dtype="bf16") < peak()
    assert peak() < peak(micro_rows=2) < peak(micro_rows=2, context=2048)
    assert peak(accumulates=False) < peak()


@pytest.mark.parametrize("name", ["llama-7b", "qwen3-0.6b", "mistral-7b"])
def test_without_accumulation_the_peak_still_holds_all_gradients_at_the_end(name):
    config = preset(name)
    parts = training_bytes(
        config, micro_rows=1, context=16, dtype="f32", remat="full", accumulates=False, optimizer="adamw"
    )
    assert parts.peak > parts.weights + parts.gradients + parts.optimizer_state
