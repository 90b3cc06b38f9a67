"""What a step takes, against the memory that a process took, and against what a reader would add up."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from textmill.model.activation_bytes import AdapterSizes, saved_bytes_per_block
from textmill.model.presets import preset
from textmill.model.training_bytes import training_bytes

ONE_STEP = Path(__file__).parent / "one_step.py"
SMOLLM2 = preset("smollm2-135m")
pytestmark = pytest.mark.timeout(3600)  # a step of it takes seconds, and a hundred times as long on a busy machine
OWN = {"model_type": "textmill", "qk_norm": True, "value_embeddings": True, "num_hidden_layers": 8}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("remat", "micro_rows", "dtype", "changes"),
    [
        ("none", 1, "f32", {}),
        ("none", 2, "f32", {}),
        ("llama", 1, "f32", {}),
        ("llama", 2, "f32", {}),
        ("full", 2, "f32", {}),
        ("none", 2, "bf16", {}),
        ("llama", 1, "bf16", {}),
        ("llama", 2, "bf16", OWN),
    ],
)
def test_the_peak_of_a_step_is_within_5_percent(remat, micro_rows, dtype, changes):
    config = dataclasses.replace(SMOLLM2, **changes)
    reckoned = training_bytes(config, micro_rows=micro_rows, context=1024, dtype=dtype, remat=remat).peak
    assert reckoned == pytest.approx(measured(remat, micro_rows, dtype, changes), rel=0.05)


def measured(remat, micro_rows, dtype, changes, targets="all", *dropout):
    command = [sys.executable, str(ONE_STEP), remat, str(micro_rows), dtype, json.dumps(changes), targets]
    command += map(str, dropout)
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


def adapters_of(rank, dropout, more):
    """By hand, of SmolLM2's blocks: six times 576 and 1,536 go in, three times 576, 2 x 192 and 2 x 1,536 come out."""
    num_inputs, num_outputs = 6 * 576 + 1536, 3 * 576 + 2 * 192 + 2 * 1536
    return AdapterSizes(
        num_parameters=30 * rank * (num_inputs + num_outputs)
        + (rank * (576 + 49_152) if more == "head" else 0)
        + (30 * num_outputs if more == "dora" else 0),
        ranks=(7 * rank,) * 30,
        num_masked=(num_inputs if dropout else 0,) * 30,
        head_rank=rank if more == "head" else 0,
        masks_head=more == "head" and dropout > 0,
        num_scaled=(num_outputs if more == "dora" else 0,) * 30,
        num_magnitudes=(num_outputs if more == "dora" else 0,) * 30,
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("remat", "micro_rows", "dtype", "targets", "dropout", "more"),
    [
        ("llama", 2, "f32", "some", None, None),
        ("none", 1, "f32", "each", None, None),
        ("none", 2, "bf16", "each", None, None),
        ("none", 2, "f32", "some", 0.0, None),
        ("llama", 2, "bf16", "some", 0.0, None),
        ("none", 2, "f32", "each", 0.1, None),
        ("llama", 2, "bf16", "each", 0.1, None),
        ("full", 2, "f32", "some", 0.1, None),
        ("llama", 2, "f32", "some", 0.1, "head"),
        ("none", 2, "bf16", "each", 0.0, "head"),
        ("llama", 2, "bf16", "some", 0.0, "dora"),
        ("full", 2, "f32", "each", 0.1, "dora"),
    ],
)
def test_the_peak_of_a_step_of_tuning_is_within_3_percent(*, remat, micro_rows, dtype, targets, dropout, more):
    """What libraries keep for themselves was there before: the small step took it."""
    adapters = None if dropout is None else adapters_of(16, dropout, more)
    reckoned = training_bytes(
        SMOLLM2,
        micro_rows=micro_rows,
        context=1024,
        dtype=dtype,
        remat=remat,
        targets=targets,
        adapters=adapters,
    )
    drops = [one for one in (dropout, more) if one is not None]
    grown = measured(remat, micro_rows, dtype, {}, targets, *drops)
    assert reckoned.peak - reckoned.runtime == pytest.approx(grown, rel=0.03)


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
    averages = training_bytes(SMOLLM2, micro_rows=2, context=1024, dtype="bf16", remat="none", averages=True)
    assert averages.optimizer_state == 12 * 134_515_008


@pytest.mark.parametrize("num_layers", [7, 8])
def test_tables_of_values_are_no_matrices(num_layers):
    """By hand: four tables of 49,152 x 192, which AdamW keeps, and of whose gradients one is there for a moment."""
    plain = dataclasses.replace(SMOLLM2, num_hidden_layers=num_layers)
    own = dataclasses.replace(plain, model_type="textmill", value_embeddings=True)
    sizes = {"micro_rows": 2, "context": 1024, "dtype": "f32", "remat": "llama", "optimizer": "muon"}
    one, other = training_bytes(plain, **sizes), training_bytes(own, **sizes)
    tables = 4 * 49_152 * 192
    assert other.weights - one.weights == 4 * tables
    assert other.optimizer_state - one.optimizer_state == 8 * tables
    assert other.optimizer == one.optimizer
    assert other.saved_activations == one.saved_activations
    assert other.block_backward == max(one.block_backward, 4 * 192 * (49_152 + 2048))


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
