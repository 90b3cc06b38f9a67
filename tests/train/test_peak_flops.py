"""What machines do at most: the table against the chips' own figures, the measurement, and the MFU in the log."""

import itertools

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe
from textmill.model.flops import training_flops_per_token
from textmill.train.compute_plan import PEAK_FLOPS

torch = pytest.importorskip("torch")

from textmill.train import precision  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402

# Multiprocessors, their bf16 operations a cycle (dense), boost clock: NVIDIA's A100 and H100 white papers, SXM. The
# H200 is the H100's chip with other memory.
CHIPS = {
    "a100": (108, 4 * 256 * 2, 1.410e9),
    "h100": (132, 4 * 512 * 2, 1.830e9),
    "h200": (132, 4 * 512 * 2, 1.830e9),
}


def test_the_table_is_what_the_chips_can_do():
    """A peak that is twice too low makes every MFU twice too high."""
    assert PEAK_FLOPS.keys() == CHIPS.keys()
    for name, (multiprocessors, operations, clock_hz) in CHIPS.items():
        assert pytest.approx(multiprocessors * operations * clock_hz, rel=1e-3) == PEAK_FLOPS[name]


@pytest.mark.parametrize("name", ["f32", "bf16"])
def test_a_measured_peak_counts_a_product_and_a_sum_for_each_place(monkeypatch, name):
    """With a clock that says a quarter of a second for each product."""
    clock = itertools.count(0, 0.25)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(clock))
    assert precision.peak_flops_per_s(name) == 4 * 2 * 1024**3


def test_mfu_is_operations_of_a_step_over_the_peak(tmp_path):
    listener = Silent()
    plan = run_recipe(load_recipe(write_recipe(tmp_path, steps=3)), listener).plan
    steps = [event for event in listener.events if event.kind == "step"]
    assert len(steps) == 3
    for event in steps:
        flops_per_s = event.fields["tokens_per_s"] * training_flops_per_token(plan.model, 32)
        assert event.fields["flops_per_s"] == pytest.approx(flops_per_s)
        assert event.fields["mfu"] == pytest.approx(flops_per_s / plan.peak_flops_per_s)
        assert 0 < event.fields["mfu"] < 1
