"""Runs killed as by ``kill -9``, anywhere, and gone on with: the same bytes as runs that were left alone.

TEXTMILL_KILLS lengthens: so many random kills a run (3 unless said), and every passing of a failpoint from 20 on.
"""

import json
import os
import shutil
import signal
import time
from random import Random

import pytest

from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from fakes import killed_run, warm_process
from textmill.base.events import read_events

KILLS = int(os.environ.get("TEXTMILL_KILLS", "3"))
# One row at once is four micro-batches a step, four are one.
KINDS = {
    "f32": ("f32", "adamw", ("batch.micro_rows=4", "optimizer.ema_decay=0.9")),
    "bf16 accumulating": (
        "bf16",
        "muon",
        (
            "batch.micro_rows=1",
            "data.packing=best-fit",
            "data.document_masks=true",
            "run.remat=llama",
            "model.preset=fast",
            "optimizer.ema_decay=0.9",
            "optimizer.z_loss=1e-4",
        ),
    ),
}
COMMON = ("eval={ every_steps = 10, holdout = 0.2, max_tokens = 512, sample_tokens = 2 }", "checkpoint.every_steps=3")
PLACES = ("mid-tensor", "before-fsync", "before-rename", "after-rename", "during-prune")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def begin(folder, kind, *settings):
    """A recipe's path and the settings of its kind."""
    precision, optimizer, own = KINDS[kind]
    return write_recipe(folder, precision=precision, optimizer=optimizer), (*COMMON, *own, *settings)


def to_the_end(path, settings, **options):
    assert warm_process.finish(warm_process.start(killed_run.train, path, settings, **options), 1800) == 0


def is_killed_at(failpoint, path, settings, **options):
    """Go on until the failpoint; says whether the run came by it."""
    code = warm_process.finish(warm_process.start(killed_run.train, path, settings, failpoint, **options), 600)
    assert code in (0, -signal.SIGKILL)
    return code == -signal.SIGKILL


def num_bytes(path):
    return path.stat().st_size if path.exists() else 0


def recorded(path, settings):
    """A run to its end; returns the failpoints that it came by, each ``NAME@N``."""
    place = path.parent / "passed.json"
    assert warm_process.finish(warm_process.start(killed_run.record, path, settings, place), 1800) == 0
    passed = json.loads(place.read_text())
    return [f"{name}@{passed[: at + 1].count(name)}" for at, name in enumerate(passed)]


@pytest.fixture(scope="module", params=KINDS)
def alone(request, tmp_path_factory):
    """A run that nobody killed: its kind, its settings, what came of it, and the failpoints that it came by."""
    steps = f"budget.steps={20 * KILLS}"
    path, settings = begin(tmp_path_factory.mktemp("alone"), request.param, steps)
    passed = recorded(path, settings)
    return request.param, steps, killed_run.result(path.parent / "run"), passed


def test_a_run_killed_again_and_again_ends_in_the_same_bytes(tmp_path, alone):
    """SIGKILL at random moments of preparing, steps, saves, evaluations."""
    kind, steps, wanted, _ = alone
    path, settings = begin(tmp_path, kind, steps)
    log, random = tmp_path / "run" / "events.jsonl", Random(kind)
    for number in range(KILLS):
        before = num_bytes(log)
        process = warm_process.start(killed_run.train, path, settings)
        while number and process.is_alive() and num_bytes(log) == before:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.15))
        process.kill()
        code = warm_process.finish(process)
        if number and code == 0:  # a busy machine let it come to its end meanwhile
            break
        assert code == -signal.SIGKILL
    to_the_end(path, settings)
    assert killed_run.result(tmp_path / "run") == wanted
    assert killed_run.hidden(tmp_path / "run") == []


def test_a_run_killed_at_every_failpoint_in_turn_ends_in_the_same_bytes(tmp_path, alone):
    """While text is prepared a run begins anew, and comes by the same places; later it goes on from what is saved."""
    kind, steps, wanted, passed = alone
    names = [failpoint.partition("@")[0] for failpoint in passed]
    assert {name for name in names if name.startswith("checkpoint:")} == {f"checkpoint:{place}" for place in PLACES}
    first_save = next(at for at, name in enumerate(names) if name.startswith("checkpoint:"))
    end = names.index("folder:before-rename", first_save)
    prepared = passed[:first_save] if KILLS >= 20 else (passed[0], passed[first_save - 1])
    later = dict.fromkeys((*names[first_save:end], *names[end:]))
    path, settings = begin(tmp_path, kind, steps)
    for failpoint in (*prepared, *(f"{name}@1" for name in later)):
        assert is_killed_at(failpoint, path, settings), failpoint
    to_the_end(path, settings)
    assert killed_run.result(tmp_path / "run") == wanted
    assert killed_run.hidden(tmp_path / "run") == []


@pytest.mark.skipif(KILLS < 20, reason="minutes: TEXTMILL_KILLS=20 runs it")
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_once_at_any_passing_of_a_failpoint_ends_in_the_same_bytes(tmp_path, kind):
    path, settings = begin(tmp_path / "alone", kind)
    passed = recorded(path, settings)
    wanted = killed_run.result(tmp_path / "alone" / "run")
    for failpoint in passed:
        path, settings = begin(tmp_path / failpoint, kind)
        assert is_killed_at(failpoint, path, settings), failpoint
        to_the_end(path, settings)
        assert killed_run.result(path.parent / "run") == wanted, failpoint
        assert killed_run.hidden(path.parent / "run") == [], failpoint


SPIKE = ("budget.steps=66", "checkpoint.every_steps=4", "spikes.window=32", "spikes.rewind_steps=4")


@pytest.fixture(scope="module")
def before_a_spike(tmp_path_factory):
    """A recipe whose run died on its way to a spike at step 60, and what comes of it where it does not die."""
    folder = tmp_path_factory.mktemp("spike")
    path, settings = begin(folder, "f32", *SPIKE)
    assert is_killed_at("checkpoint:after-rename@13", path, settings, poisoned_step=60)
    shutil.copytree(folder / "run", folder / "alone")
    to_the_end(path, (*settings, f"run.dir={folder / 'alone'}"), poisoned_step=60)
    return path, settings, killed_run.result(folder / "alone")


@pytest.mark.parametrize("place", [*PLACES, "between-renames"])
def test_a_run_killed_while_it_leaves_a_way_ends_in_the_same_bytes(tmp_path, before_a_spike, place):
    """A spike takes it back behind a checkpoint, to a step that is saved again."""
    path, settings, wanted = before_a_spike
    run = tmp_path / "run"
    shutil.copytree(path.parent / "run", run)
    settings = (*settings, f"run.dir={run}")
    assert is_killed_at(f"checkpoint:{place}@spike", path, settings, poisoned_step=60)
    to_the_end(path, settings, poisoned_step=60)
    assert killed_run.result(run) == wanted
    assert killed_run.hidden(run) == []
    spikes = [event for event in read_events(run / "events.jsonl") if event.kind == "spike"]
    assert len(spikes) == 1, "the decision was kept"
