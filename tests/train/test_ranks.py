"""Two processes train as one does: the same batches, gradients within rounding, checkpoints for either number."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta

import numpy as np
import pytest

from fakes.free_port import free_port
from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.base.errors import TextmillError
from textmill.base.events import read_events
from textmill.checkpoint.store import latest_checkpoint, list_checkpoints, load_checkpoint
from textmill.train.pipeline import run_recipe
from textmill.train.ranks import joined_ranks
from textmill.train.recipe import load_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# Muon divides by norms of updates near zero: rounding would show more than it does in AdamW.
SETTINGS = ["optimizer.kind=adamw", "budget.steps=12"]


def start(path, size, *settings, resume=False, failpoint="", mesh="ddp"):
    """Start processes as torchrun does; the first one dies at the failpoint."""
    port = free_port()
    command = [sys.executable, "-m", "textmill", "train", str(path), "--mesh", mesh, *(["--resume"] if resume else [])]
    command += [word for setting in (*SETTINGS, *settings) for word in ("--set", setting)]
    place = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
    }
    return [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                **place,
                "PYTHONFAULTHANDLER": "1",  # a process that a library aborts says where it was
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "TEXTMILL_FAILPOINT": "" if rank else failpoint,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]


def finish(processes):
    told = [process.communicate(timeout=400)[0] for process in processes]
    return [process.returncode for process in processes], told


def near(one, other):
    return all(np.abs(one[name] - other[name]).max() <= 1e-5 * max(1e-3, np.abs(one[name]).max()) for name in one)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    run_recipe(load_recipe(write_recipe(folder), SETTINGS), Silent())
    return folder / "run"


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    codes, told = finish(start(write_recipe(folder), 2))
    assert codes == [0, 0], told
    return folder / "run"


def test_two_ranks_come_to_what_one_does(alone, two):
    """12 steps in float32; test_parity holds one step and 50 in float64 to tighter bounds."""
    assert near(*(load_checkpoint(list_checkpoints(run)[-1]).model for run in (alone, two)))
    losses = [
        [event.fields["loss"] for event in read_events(run / "events.jsonl") if event.kind == "step"]
        for run in (alone, two)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_others_who_do_not_come_are_told(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": taken.getsockname()[1], "WORLD_SIZE": 2, "RANK": 1}
        for name, value in place.items():
            monkeypatch.setenv(name, str(value))
        with pytest.raises(TextmillError, match="rank 1 of 2 did not meet the others"), joined_ranks(timedelta(0, 1)):
            raise AssertionError


def test_rows_that_cannot_be_shared_out_are_refused_before_any_text_is_read(tmp_path):
    codes, told = finish(start(write_recipe(tmp_path), 3))
    assert codes[0] == 2
    assert 'a step of the stage "stable" has 4 rows, which 3 processes cannot share out evenly' in told[0]
    # It may be gone before the others have met it.
    assert re.search("the first ended before the run began, and says why|did not meet the others", told[1])
    assert not (tmp_path / "run").exists()


def test_two_ranks_of_which_the_first_dies_go_on_to_the_same_bytes(two, tmp_path):
    path = write_recipe(tmp_path)
    codes, told = finish(start(path, 2, failpoint="checkpoint:before-rename@2"))
    assert codes[0] == -signal.SIGKILL
    assert codes[1] in (0, 1), told  # its last step may have been done
    assert latest_checkpoint(tmp_path / "run", on_damage=pytest.fail).name == "step-00000005"
    codes, told = finish(start(path, 2, resume=True))
    assert codes == [0, 0], told
    one, other = (load_checkpoint(list_checkpoints(run)[-1]) for run in (two, tmp_path / "run"))
    for tensors, others in ((one.model, other.model), (one.optimizer, other.optimizer)):
        assert tensors.keys() == others.keys()
        assert all(np.array_equal(tensors[name], others[name]) for name in tensors)


def test_a_checkpoint_of_two_ranks_is_gone_on_from_by_one(alone, tmp_path):
    path = write_recipe(tmp_path)
    processes = start(path, 2, "budget.steps=12")
    _wait_for(tmp_path / "run", "step", 3)
    processes[1].send_signal(signal.SIGTERM)
    codes, told = finish(processes)
    assert set(codes) <= {0, 143, -signal.SIGTERM}, told  # it may come after the last step, when nobody heeds it
    run_recipe(load_recipe(path, SETTINGS), Silent(), resume=True)
    assert near(
        load_checkpoint(list_checkpoints(alone)[-1]).model,
        load_checkpoint(list_checkpoints(tmp_path / "run")[-1]).model,
    )


@pytest.mark.parametrize(("mesh", "dead"), [("ddp", 0), ("ddp", 1), ("fsdp", 0), ("fsdp", 1), ("tp=2", 1)])
def test_a_rank_that_dies_ends_the_others_and_leaves_a_whole_checkpoint(tmp_path, mesh, dead):
    processes = start(write_recipe(tmp_path), 2, "budget.steps=5000", "checkpoint.every_steps=2", mesh=mesh)
    _wait_for(tmp_path / "run", "checkpoint", 2)
    processes[dead].kill()
    processes[dead].communicate()
    told = processes[1 - dead].communicate(timeout=100)[0]
    assert processes[1 - dead].returncode == 1, told
    assert f"rank {1 - dead} of 2 lost another" in told
    assert "start all ranks again with --resume" in told
    assert latest_checkpoint(tmp_path / "run", on_damage=pytest.fail) is not None


def _wait_for(run, kind, step):
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        log = run / "events.jsonl"
        if log.exists() and any(event.kind == kind and event.step >= step for event in read_events(log)):
            return
        time.sleep(0.05)
    raise AssertionError(f"there was no {kind}")
