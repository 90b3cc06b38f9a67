"""One process at a time trains in a run's folder; one that was killed holds nothing."""

import os
import signal
import subprocess
import sys

import pytest

from fakes.listener import Silent
from fakes.tiny_run import write_recipe

pytest.importorskip("torch")

from textmill.base.errors import ConfigError
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe
from textmill.train.run_lock import RunLock

HOLD = """
import sys, time
from pathlib import Path
from textmill.train.run_lock import RunLock
with RunLock(Path(sys.argv[1])) as lock:
    lock.take()
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds."""
    (tmp_path / "run").mkdir()
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_that_another_process_trains_in_is_refused_and_left_as_it_is(tmp_path, held):
    recipe = load_recipe(write_recipe(tmp_path))
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"another process trains in .*run; wait for it, or stop it"):
            run_recipe(recipe, Silent(), resume=resume)
    assert list((tmp_path / "run").iterdir()) == []


def test_one_that_was_killed_holds_nothing(tmp_path, held):
    os.kill(held.pid, signal.SIGKILL)
    held.wait()
    with RunLock(tmp_path / "run") as lock:
        lock.take()


def test_a_run_holds_its_folder_from_its_first_moment_to_its_end(tmp_path):
    recipe = load_recipe(write_recipe(tmp_path))
    refused = []

    class Watching(Silent):
        def try_it(self, *args):
            with RunLock(tmp_path / "run") as lock, pytest.raises(ConfigError, match="another process"):
                lock.take()
            refused.append(True)

        corpus = plan = event = try_it

    run_recipe(recipe, Watching())
    assert len(refused) > 12
    with RunLock(tmp_path / "run") as lock:
        lock.take()


def test_a_folder_that_is_not_there_is_held_once_it_is(tmp_path):
    with RunLock(tmp_path / "run") as lock, RunLock(tmp_path / "run") as other:
        lock.take()
        (tmp_path / "run").mkdir()
        lock.take()
        lock.take()
        with pytest.raises(ConfigError):
            other.take()


def test_where_there_are_no_locks_nothing_is_held(tmp_path, monkeypatch):
    def flock(descriptor, operation):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr("fcntl.flock", flock)
    with RunLock(tmp_path) as lock:
        lock.take()
