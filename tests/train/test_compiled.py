"""Blocks are compiled where that pays, the same model comes out, and a machine without a compiler does without."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from textmill.data.loader import Batch  # noqa: E402
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.train import compiled, decide  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.ranks import CPU  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402
from textmill.train.step import accumulate  # noqa: E402

CONFIG = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
)
STEPS = 10_000


def decided(monkeypatch, *, eager_s, compiled_s=0.1, took_s=60.0, reason=None, error=None):
    """The decision, what was said, and whether anything was timed."""
    said, timed = [], []

    def time_compiled():
        timed.append(1)
        if error is not None:
            raise error
        return compiled_s, took_s

    monkeypatch.setattr(compiled, "why_not", lambda device: reason)
    return compiled.faster_step_s(eager_s, STEPS, CPU, time_compiled, said.append), said, bool(timed)


def test_a_short_run_is_not_held_up_by_a_probe(monkeypatch):
    assert decided(monkeypatch, eager_s=0.15) == (None, [], False)  # 25 minutes


def test_a_probe_decides_and_what_it_took_is_told(monkeypatch):
    step_s, (said,), _ = decided(monkeypatch, eager_s=0.2)
    assert step_s == 0.1
    assert said.startswith("blocks are compiled: a step takes 0.1 s so, and 0.2 s without; compiling and timing took")
    step_s, (said,), _ = decided(monkeypatch, eager_s=0.2, compiled_s=0.195)  # 50 s of 2,000 saved, for 60
    assert step_s is None
    assert said.startswith("blocks are not compiled: a step takes 0.195 s so, and 0.2 s without")


def test_what_stands_in_the_way_is_told(monkeypatch):
    assert decided(monkeypatch, eager_s=0.2, reason="no compiler") == (
        None,
        ["blocks are not compiled: no compiler"],
        False,
    )
    error = RuntimeError("ld: no such library\nand 90 lines more")
    step_s, said, _ = decided(monkeypatch, eager_s=0.2, error=error)
    assert (step_s, said) == (None, ["blocks are not compiled: the compiler failed (ld: no such library)"])


def test_minutes_are_more_steps_where_blocks_are_compiled(monkeypatch, tmp_path):
    times = {False: 0.2, True: 0.1}
    monkeypatch.setattr(decide, "step_time_s", lambda *args, compiled=False: times[compiled])
    monkeypatch.setattr(compiled, "why_not", lambda device: None)
    settings = ["budget={ minutes = 40 }", "run.precision=f32"]
    plan = decide.make_plan(load_recipe(write_recipe(tmp_path), settings), CONFIG)
    assert (plan.compiled, plan.num_steps, plan.step_time_s) == (True, 24_000, 0.1)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_without_a_compiler_a_run_that_was_compiled_goes_on(tmp_path):
    """As on a machine to which a run is moved: the plan says compiled, and CXX names nothing."""
    run = run_recipe(load_recipe(write_recipe(tmp_path), ["budget.steps=3"]), Silent())
    shutil.rmtree(run.folder / "checkpoints")
    table = json.loads((run.folder / "config.json").read_text())
    table["plan"]["compiled"] = True
    (run.folder / "config.json").write_text(json.dumps(table))
    environment = os.environ | {"CXX": "/nonexistent", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "textmill", "train", str(run.folder), "--resume"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "blocks are not compiled as they were: there is no C++ compiler that works" in result.stderr
    assert "the first step was done after" in result.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(compiled.why_not(CPU) is not None, reason="there is no compiler")
@pytest.mark.filterwarnings("default")  # the compiler's own
def test_compiled_blocks_are_the_same_blocks():
    """Documents of any lengths, without compiling anew for each: within 1e-5 of the largest gradient in float32."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 64, (2, 17))
    eager, other = (Llama(CONFIG).init_weights(1, residual="scaled") for _ in range(2))
    compiled.compile_blocks(other)
    for cut in (5, 9):
        segments = np.tile((np.arange(16) >= cut).astype(np.int32), (2, 1))
        positions = np.tile(np.where(np.arange(16) >= cut, np.arange(16) - cut, np.arange(16)).astype(np.int32), (2, 1))
        batch = Batch(ids[:, :-1], ids[:, 1:], (), positions=positions, segments=segments)
        losses = [accumulate(model, batch, micro_rows=2, dtype=torch.float32) for model in (eager, other)]
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    frames = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    assert frames <= 4
    for one, two in zip(eager.parameters(), other.parameters(), strict=True):
        assert (one.grad - two.grad).abs().max() <= 1e-5 * one.grad.abs().max()
