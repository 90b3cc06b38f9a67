"""Blocks are compiled where that pays, the same model comes out, and a machine without a compiler does without."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from textmill.base.errors import TextmillError  # noqa: E402
from textmill.base.events import read_events  # noqa: E402
from textmill.checkpoint.store import list_checkpoints, load_checkpoint, remove_checkpoint, step_of  # noqa: E402
from textmill.data.loader import Batch  # noqa: E402
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.train import beginning, compiled, decide  # noqa: E402
from textmill.train.compiler_failure import failure_to_compile  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.ranks import CPU, Ranks  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402
from textmill.train.run import load_run  # noqa: E402
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


def compiler_that_fails(folder):
    """It says its version, and compiles nothing."""
    script = folder / "c++"
    script.write_text('#!/bin/sh\ncase "$*" in *--version*) echo "c++ 12.2.0"; exit 0;; esac\necho no >&2\nexit 1\n')
    script.chmod(0o755)
    return script


def planned_as_compiled(tmp_path, *, step):
    """A run of ten steps, as it stood after so many, whose plan says that blocks are compiled; and its last weights."""
    run = run_recipe(load_recipe(write_recipe(tmp_path), ["budget.steps=10", "checkpoint.keep=9"]), Silent())
    weights = load_checkpoint(list_checkpoints(run.folder)[-1]).model
    weights = {name: np.array(array) for name, array in weights.items()}
    for folder in list_checkpoints(run.folder):
        if step_of(folder) > step:
            remove_checkpoint(run.folder, step_of(folder))
    table = json.loads((run.folder / "config.json").read_text())
    table["plan"]["compiled"] = True
    (run.folder / "config.json").write_text(json.dumps(table))
    return run.folder, weights


def resumed(folder, compiler, cache):
    """What going on with a run says, by a compiler; the compiler's cache is empty."""
    environment = os.environ | {"CXX": str(compiler), "TORCHINDUCTOR_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "textmill", "train", str(folder), "--resume"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stderr


def is_compiled(folder):
    return json.loads((folder / "config.json").read_text())["plan"]["compiled"]


def not_compiled(folder):
    (told,) = [event for event in read_events(folder / "events.jsonl") if event.kind == "not_compiled"]
    return told


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["missing", "failing"])
def test_a_run_whose_first_step_cannot_be_compiled_does_without_and_keeps_to_it(tmp_path, kind):
    """The plan says compiled, and CXX names nothing, or what fails: the bytes are those of a run that never was."""
    folder, weights = planned_as_compiled(tmp_path, step=0)
    said = resumed(folder, "/nonexistent" if kind == "missing" else compiler_that_fails(tmp_path), tmp_path / "cache")
    reason = "there is no C++ compiler that works" if kind == "missing" else "the compiler failed"
    assert f"blocks are not compiled: {reason}" in said
    assert "config.json says so, for a resume, too" in said
    assert "the first step was done after" in said
    assert not is_compiled(folder)
    assert not_compiled(folder).fields["from_the_start"]
    found = load_checkpoint(list_checkpoints(folder)[-1]).model
    assert all(np.array_equal(found[name], weights[name]) for name in weights)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["missing", "failing"])
def test_a_resume_that_cannot_compile_goes_on_and_says_that_bytes_may_differ(tmp_path, kind):
    folder, _ = planned_as_compiled(tmp_path, step=5)
    said = resumed(folder, "/nonexistent" if kind == "missing" else compiler_that_fails(tmp_path), tmp_path / "cache")
    assert "blocks are not compiled as they were: " in said
    assert "may differ from those that it would have had" in said
    assert is_compiled(folder), "where there is a compiler a resume compiles again"
    told = not_compiled(folder)
    assert (told.step, told.fields["from_the_start"]) == (5, False)


def test_what_is_held_out_is_not_compiled_for(tmp_path, monkeypatch):
    """It has windows of many lengths, and each would be compiled anew."""
    folder, _ = planned_as_compiled(tmp_path, step=0)
    learns = []

    def compile_nothing(function, **options):
        def run(*args, **kwargs):
            learns.append(torch.is_grad_enabled())
            return function(*args, **kwargs)

        return run

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setattr(beginning, "why_not", lambda device: None)
    run_recipe(load_run(folder).recipe, Silent(), resume=True)
    assert len(learns) == 10 * 2 * CONFIG.num_hidden_layers  # steps of two micro-batches
    assert all(learns)
    assert [event for event in read_events(folder / "events.jsonl") if event.kind == "eval"]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the compiler's own
def test_several_ranks_end_together_where_one_cannot_compile(tmp_path):
    """Others wait for it within a step; it says how to start all of them."""
    from torch._dynamo.exc import TorchDynamoException

    trainer = SimpleNamespace(model=Llama(CONFIG), layout=SimpleNamespace(ranks=Ranks(1, 2)), step=3)
    error = TorchDynamoException("ld: no such library")
    assert failure_to_compile(trainer, error) is None, "nothing is compiled"
    compiled.compile_blocks(trainer.model)
    assert failure_to_compile(trainer, RuntimeError("another")) is None
    with pytest.raises(TextmillError, match=r"rank 1 of 2 cannot compile.*step 4.*TORCHDYNAMO_DISABLE=1"):
        failure_to_compile(trainer, error)
    compiled.run_as_written(trainer.model)
    assert not compiled.are_compiled(trainer.model)
    assert failure_to_compile(trainer, error) is None


@pytest.mark.slow
@pytest.mark.timeout(900)
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
