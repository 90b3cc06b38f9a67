"""A step is the same step however it is shared out: rows at once, threads, processes.

One step's gradients agree within 1e-6 of the largest in float32, and in float64 losses and weights within 1e-9 over 50
steps, or as many of AdamW as TEXTMILL_PARITY_STEPS says.
"""

import os

import numpy as np
import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

torch = pytest.importorskip("torch")

from fakes import shared_step, warm_process  # noqa: E402
from textmill.train.pipeline import run_recipe  # noqa: E402
from textmill.train.recipe import load_recipe  # noqa: E402
from textmill.train.run import load_run  # noqa: E402

STEPS = int(os.environ.get("TEXTMILL_PARITY_STEPS", "50"))
# Muon brings every singular value of an update near 1, those of rounding among them: small differences grow, in time.
MUON_STEPS = 50
ROWS = 12

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module", params=["adamw", "muon"])
def run(request, tmp_path_factory):
    """A run whose rows are documents with padding behind them: no two have as many targets."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = [f"budget.steps={STEPS}", f"batch={{ rows = {ROWS} }}", "spikes.action=off"]
    settings += ["data.packing=best-fit", "data.document_masks=true", "stages=[{ context = 48 }]"]
    # At ten times these rates Muon itself is chaotic here: whatever differs grows tenfold every few steps.
    settings += ["schedule.peak_lr=1e-3", "optimizer.muon_lr=2e-3"]
    run_recipe(load_recipe(write_recipe(folder, optimizer=request.param), settings), Silent())
    return folder / "run"


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def steps(run):
    return min(STEPS, MUON_STEPS) if load_run(run).recipe.optimizer.kind == "muon" else STEPS


@pytest.fixture(scope="module")
def gradient(run):
    return shared_step.gradient(run, micro_rows=ROWS)


@pytest.fixture(scope="module")
def weights(run, steps):
    return shared_step.weights(run, steps=steps, micro_rows=ROWS)


def assert_near(one, other, tolerance):
    """Each array within a share of its largest value."""
    assert one.keys() == other.keys()
    apart = {name: np.abs(one[name] - other[name]).max() / np.abs(one[name]).max() for name in one}
    assert max(apart.values()) <= tolerance, max(apart.items(), key=lambda item: item[1])


# 5 and 7 do not divide 12: the last part is shorter. Threads that share a core wait for each other.
ALONE = ((12, 2), (12, 3), (4, 2))
SHARES = [(1, 1), (5, 1), (7, 1), *(pytest.param(*share, marks=pytest.mark.alone) for share in ALONE)]


@pytest.mark.parametrize(("micro_rows", "threads"), SHARES)
def test_one_gradient(run, gradient, micro_rows, threads):
    assert_near(gradient, shared_step.gradient(run, micro_rows=micro_rows, threads=threads), 1e-6)


@pytest.mark.parametrize(("micro_rows", "threads"), [(5, 1), pytest.param(12, 2, marks=pytest.mark.alone)])
def test_many_steps(run, steps, weights, micro_rows, threads):
    assert_near(weights, shared_step.weights(run, steps=steps, micro_rows=micro_rows, threads=threads), 1e-9)


@pytest.mark.parametrize("size", [2, 3])
def test_processes(run, steps, gradient, weights, size, tmp_path):  # noqa: PLR0917  fixtures
    given = {"run": run, "steps": steps, "place": tmp_path / "found.npz"}
    processes = [
        warm_process.start(shared_step.among_ranks, rank, size, tmp_path / "meeting", **given) for rank in range(size)
    ]
    assert [warm_process.finish(process, 1800) for process in processes] == [0] * size
    with np.load(tmp_path / "found.npz") as found:
        arrays = {name: found[name] for name in found.files}
    one = {name.removeprefix("one/"): arrays.pop(name) for name in list(arrays) if name.startswith("one/")}
    assert_near(gradient, one, 1e-6)
    assert_near(weights, arrays, 1e-9)


def test_parts_do_not_drift(run, gradient):
    """What is dropped of every part would lie along the gradient; roundings cancel there to below float32's unit."""
    parts = shared_step.gradient(run, micro_rows=1)
    one, other = (
        np.concatenate([found[name].ravel().astype(np.float64) for name in gradient if name != "loss"])
        for found in (gradient, parts)
    )
    assert abs((other - one) @ one) <= np.finfo(np.float32).eps * (one @ one)
