"""Runs killed as by ``kill -9``, anywhere, and gone on with: the same bytes as runs that were left alone.

TEXTMILL_KILLS lengthens: so many random kills a run (3 unless said), and every passing of a failpoint from 20 on.
"""

import json
import os
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
    "f32": ("f32", "adamw", ("batch.micro_rows=4",)),
    "bf16 accumulating": (
        "bf16",
        "muon",
        ("batch.micro_rows=1", "data.packing=best-fit", "data.document_masks=true", "run.remat=llama"),
    ),
}
COMMON = ("eval.sample_tokens=4", "checkpoint.every_steps=3")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def begin(folder, kind, *settings):
    """A recipe's path and the settings of its kind."""
    precision, optimizer, own = KINDS[kind]
    return write_recipe(folder, precision=precision, optimizer=optimizer), (*COMMON, *own, *settings)


def whole(path, settings, **options):
    assert warm_process.finish(warm_process.start(killed_run.train, path, settings, **options), 1800) == 0
    return path.parent / "run"


def killed_at(failpoint, path, settings, **options):
    """Go on until the failpoint; says whether the run came by it."""
    code = warm_process.finish(warm_process.start(killed_run.train, path, settings, failpoint, **options), 600)
    assert code in (0, -signal.SIGKILL)
    return code == -signal.SIGKILL


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_again_and_again_ends_in_the_same_bytes(tmp_path, kind):
    """SIGKILL at random moments of preparing, steps, saves, evaluations."""
    steps = f"budget.steps={20 * KILLS}"
    alone = whole(*begin(tmp_path / "whole", kind, steps))
    path, settings = begin(tmp_path / "killed", kind, steps)
    log, random = path.parent / "run" / "events.jsonl", Random(kind)
    for number in range(KILLS):
        before = log.stat().st_size if log.exists() else 0
        process = warm_process.start(killed_run.train, path, settings)
        while number and process.is_alive() and log.stat().st_size == before:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.15))
        process.kill()
        assert warm_process.finish(process) == -signal.SIGKILL
    assert killed_run.result(whole(path, settings)) == killed_run.result(alone)
    assert killed_run.hidden(path.parent / "run") == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_killed_at_every_failpoint_in_turn_ends_in_the_same_bytes(tmp_path, kind):
    path, settings = begin(tmp_path / "whole", kind)
    passed_file = tmp_path / "passed.json"
    assert warm_process.finish(warm_process.start(killed_run.record, path, settings, passed_file)) == 0
    passed = json.loads(passed_file.read_text())
    first_save = next(at for at, name in enumerate(passed) if name.startswith("checkpoint:"))
    model = passed.index("folder:before-rename", first_save)
    assert {name for name in passed if name.startswith("checkpoint:")} == {
        f"checkpoint:{place}"
        for place in ("mid-tensor", "before-fsync", "before-rename", "after-rename", "during-prune")
    }
    # While text is prepared a run begins anew, and comes by the same places; later it goes on from what is saved.
    prepared = [f"{name}@{passed[: at + 1].count(name)}" for at, name in enumerate(passed[:first_save])]
    saved = list(dict.fromkeys(passed[first_save:model]))
    finished = list(dict.fromkeys(passed[model:]))
    path, settings = begin(tmp_path / "killed", kind)
    for failpoint in [*prepared, *(f"{name}@1" for name in (*saved, *finished))]:
        assert killed_at(failpoint, path, settings), failpoint
    assert killed_run.result(whole(path, settings)) == killed_run.result(tmp_path / "whole" / "run")
    assert killed_run.hidden(path.parent / "run") == []


@pytest.mark.skipif(KILLS < 20, reason="minutes: TEXTMILL_KILLS=20 runs it")
def test_a_run_killed_once_at_any_passing_of_a_failpoint_ends_in_the_same_bytes(tmp_path):
    path, settings = begin(tmp_path / "whole", "bf16 accumulating")
    passed_file = tmp_path / "passed.json"
    assert warm_process.finish(warm_process.start(killed_run.record, path, settings, passed_file)) == 0
    passed = json.loads(passed_file.read_text())
    wanted = killed_run.result(tmp_path / "whole" / "run")
    for at, name in enumerate(passed):
        failpoint = f"{name}@{passed[: at + 1].count(name)}"
        path, settings = begin(tmp_path / str(at), "bf16 accumulating")
        assert killed_at(failpoint, path, settings), failpoint
        assert killed_run.result(whole(path, settings)) == wanted, failpoint
        assert killed_run.hidden(path.parent / "run") == [], failpoint


@pytest.mark.parametrize(
    "place", ["mid-tensor", "before-fsync", "before-rename", "between-renames", "after-rename", "during-prune"]
)
def test_a_run_killed_while_it_leaves_a_way_ends_in_the_same_bytes(tmp_path, place):
    """A spike at step 60 takes it back behind a checkpoint, to a step that is saved again."""
    settings = ("budget.steps=66", "checkpoint.every_steps=4", "spikes.window=32", "spikes.rewind_steps=4")
    alone = whole(*begin(tmp_path / "whole", "f32", *settings), poisoned_step=60)
    path, settings = begin(tmp_path / "killed", "f32", *settings)
    assert killed_at(f"checkpoint:{place}@spike", path, settings, poisoned_step=60)
    killed = whole(path, settings, poisoned_step=60)
    assert killed_run.result(killed) == killed_run.result(alone)
    assert killed_run.hidden(killed) == []
    spikes = [event for event in read_events(killed / "events.jsonl") if event.kind == "spike"]
    assert len(spikes) == 1, "the decision was kept"
