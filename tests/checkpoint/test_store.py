import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError, StorageError
from textmill.checkpoint import store
from textmill.checkpoint.store import (
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    prune,
    remove_left_overs,
    save_checkpoint,
    step_of,
    verify_checkpoint,
)


def save(run, step, value=1.0, **changes):
    arguments = {
        "model": {"w": torch.full((4, 3), value), "b": np.arange(3.0)},
        "optimizer": {"w.exp_avg": torch.full((4, 3), -value, dtype=torch.bfloat16)},
        "state": {"tokens": step * 10, "events": ["a"]},
    }
    return save_checkpoint(run, step, **(arguments | changes))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hidden(run):
    return [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]


def test_what_is_saved_is_loaded(tmp_path):
    folder = save(tmp_path, 123, write_small_files=lambda unfinished: (unfinished / "config.json").write_text("{}"))
    assert folder == tmp_path / "checkpoints" / "step-00000123"
    checkpoint = load_checkpoint(folder)
    assert (checkpoint.folder, checkpoint.step) == (folder, 123)
    assert checkpoint.state == {"tokens": 1230, "events": ["a"]}
    assert checkpoint.model["w"].tolist() == [[1.0] * 3] * 4
    assert checkpoint.optimizer["w.exp_avg"].dtype == safetensors.BFLOAT16
    names = {"model.safetensors", "optimizer.safetensors", "state.json", "config.json"}
    assert set(content(folder)) == names | {"sha256.json"}
    assert set(json.loads((folder / "sha256.json").read_text())) == names
    verify_checkpoint(folder)


def test_the_same_state_gives_the_same_bytes(tmp_path):
    assert content(save(tmp_path / "a", 5)) == content(save(tmp_path / "b", 5))


def test_steps_are_listed_in_order(tmp_path):
    for step in (20, 3, 100_000_000):
        save(tmp_path, step)
    assert [step_of(folder) for folder in list_checkpoints(tmp_path)] == [3, 20, 100_000_000]
    assert step_of(latest_checkpoint(tmp_path)) == 100_000_000


def test_a_run_without_checkpoints_has_none(tmp_path):
    assert list_checkpoints(tmp_path / "nothing") == []
    assert latest_checkpoint(tmp_path) is None


def test_saving_a_step_again_replaces_it(tmp_path):
    save(tmp_path, 5, value=1.0)
    folder = save(tmp_path, 5, value=2.0)
    assert load_checkpoint(folder).model["w"][0, 0] == 2.0
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json", "sha256.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "empty"])
def test_a_damaged_checkpoint_is_named_and_passed_over(tmp_path, name, damage):
    good = save(tmp_path, 1)
    path = save(tmp_path, 2) / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes({"flip": bytes(data), "truncate": bytes(data[:-1]), "empty": b""}[damage])
    heard = []
    assert latest_checkpoint(tmp_path, heard.append) == good
    assert len(heard) == 1
    assert "step-00000002" in str(heard[0])
    # A bit flipped in the hashes makes another file look damaged: which of the two is, nobody can tell.
    assert name in str(heard[0]) or name == "sha256.json"


def test_when_all_are_damaged_there_is_none(tmp_path):
    for step in (1, 2):
        (save(tmp_path, step) / "model.safetensors").write_bytes(b"")
    heard = []
    assert latest_checkpoint(tmp_path, heard.append) is None
    assert len(heard) == 2


def test_hashes_cannot_point_outside(tmp_path):
    folder = save(tmp_path, 1)
    hashes = json.loads((folder / "sha256.json").read_text())
    (folder / "sha256.json").write_text(json.dumps(hashes | {"../../secret": "0"}))
    with pytest.raises(DataError, match="not a file of its folder"):
        verify_checkpoint(folder)


def test_a_state_of_another_step_is_noticed(tmp_path):
    folder = save(tmp_path, 1)
    folder = folder.rename(folder.with_name("step-00000002"))
    with pytest.raises(DataError, match=r"step 1.*step 2"):
        load_checkpoint(folder)


def test_prune_keeps_the_last(tmp_path):
    for step in range(1, 6):
        save(tmp_path, step)
    assert [step_of(folder) for folder in prune(tmp_path, 2)] == [1, 2, 3]
    assert [step_of(folder) for folder in list_checkpoints(tmp_path)] == [4, 5]
    assert prune(tmp_path, 7) == []
    assert hidden(tmp_path) == []
    with pytest.raises(ConfigError, match="keep is 0"):
        prune(tmp_path, 0)


@pytest.mark.parametrize("file_name", ["model.safetensors", "optimizer.safetensors", "state.json", "sha256.json"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, file_name):
    old = save(tmp_path, 1)
    before = content(old)
    path_type, replace = type(tmp_path), type(tmp_path).replace

    def full(self, target):
        if path_type(target).name == file_name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(path_type, "replace", full)
    for step in (1, 2):
        with pytest.raises(StorageError, match="no space left"):
            save(tmp_path, step, value=9.0)
    monkeypatch.undo()
    assert list_checkpoints(tmp_path) == [old]
    assert content(old) == before
    assert hidden(tmp_path) == []
    save(tmp_path, 2)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_write_that_fails_midway_leaves_what_was_there(tmp_path, monkeypatch):
    old = save(tmp_path, 1)
    before = content(old)
    path_type, opened = type(tmp_path), type(tmp_path).open

    def full(self, mode="r", *arguments, **named):
        target = path_type("/dev/full") if mode == "wb" and "optimizer" in self.name else self
        return opened(target, mode, *arguments, **named)

    monkeypatch.setattr(path_type, "open", full)
    with pytest.raises(StorageError, match="no space left"):
        save(tmp_path, 2)
    monkeypatch.undo()
    assert list_checkpoints(tmp_path) == [old]
    assert content(old) == before
    assert hidden(tmp_path) == []


# Each point is where a save, the second of its run, is killed: the call that never returns.
KILL = """
    import os, shutil, signal, sys
    from pathlib import Path
    import numpy as np
    from textmill.checkpoint.store import prune, save_checkpoint

    run, point, step = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

    def die_before(owner, name, when):
        real = getattr(owner, name)
        def call(*arguments, **named):
            if when(*map(str, arguments)):
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)
        setattr(owner, name, call)

    def save(step, value):
        tensors = {"w": np.full((100, 100), value, np.float32)}
        save_checkpoint(run, step, model=tensors, optimizer=tensors, state={"value": value})

    match point:
        case "before the first file":
            die_before(Path, "replace", lambda path, target: target.endswith("model.safetensors"))
        case "between the files":
            die_before(Path, "replace", lambda path, target: target.endswith("state.json"))
        case "before the hashes":
            die_before(Path, "replace", lambda path, target: target.endswith("sha256.json"))
        case "before fsync":
            die_before(os, "fsync", lambda descriptor: True)
        case "before the old one makes room":
            die_before(Path, "rename", lambda path, target: target.endswith(".old"))
        case "before the new one takes its place":
            die_before(Path, "rename", lambda path, target: path.endswith(".tmp"))
        case "before the old one is removed":
            die_before(shutil, "rmtree", lambda path, *rest: path.endswith(".old"))
        case "before prune hides":
            die_before(Path, "rename", lambda path, target: target.endswith(".tmp"))
        case "before prune removes":
            die_before(shutil, "rmtree", lambda path, *rest: path.endswith(".tmp"))
    if point.startswith("before prune"):
        prune(run, 1)
    else:
        save(step, 2.0)
    print("survived")
"""


def run_and_kill(tmp_path, point, step):
    script = textwrap.dedent(KILL)
    return subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), point, str(step)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


SAVE_POINTS = [
    "before the first file",
    "between the files",
    "before the hashes",
    "before fsync",
    "before the new one takes its place",
]
REPLACE_POINTS = [*SAVE_POINTS, "before the old one makes room", "before the old one is removed"]


@pytest.mark.parametrize(("step", "point"), [*((2, p) for p in SAVE_POINTS), *((1, p) for p in REPLACE_POINTS)])
def test_a_killed_save_leaves_the_last_one(tmp_path, step, point):
    save(tmp_path, 0)
    save(tmp_path, 1)
    done = run_and_kill(tmp_path, point, step)
    assert done.returncode == -signal.SIGKILL, done.stderr
    found = latest_checkpoint(tmp_path, on_damage=pytest.fail)
    # Killed between its two renames a replaced step is hidden for a moment, and comes back with the next save.
    assert step_of(found) == (0 if (step, point) == (1, "before the new one takes its place") else 1)
    remove_left_overs(tmp_path)
    assert hidden(tmp_path) == []
    found = latest_checkpoint(tmp_path, on_damage=pytest.fail)
    assert step_of(found) == 1
    replaced = (step, point) == (1, "before the old one is removed")
    assert load_checkpoint(found).model["w"][0, 0] == (2.0 if replaced else 1.0)
    save(tmp_path, 2, value=3.0)
    assert load_checkpoint(latest_checkpoint(tmp_path)).model["w"][0, 0] == 3.0


@pytest.mark.parametrize("point", ["before prune hides", "before prune removes"])
def test_a_killed_prune_leaves_no_half_one(tmp_path, point):
    for step in (1, 2, 3):
        save(tmp_path, step)
    assert run_and_kill(tmp_path, point, 0).returncode == -signal.SIGKILL
    for folder in list_checkpoints(tmp_path):
        verify_checkpoint(folder)
    save(tmp_path, 4)
    prune(tmp_path, 1)
    assert [step_of(folder) for folder in list_checkpoints(tmp_path)] == [4]
    assert hidden(tmp_path) == []


def test_reading_never_touches_a_save_in_progress(tmp_path):
    save(tmp_path, 1)
    in_progress = tmp_path / "checkpoints" / ".step-00000002.0123abcd.tmp"
    in_progress.mkdir()
    assert [step_of(folder) for folder in list_checkpoints(tmp_path)] == [1]
    assert step_of(latest_checkpoint(tmp_path)) == 1
    assert in_progress.exists()
    save(tmp_path, 3)
    assert not in_progress.exists()


def test_a_foreign_hidden_folder_stays(tmp_path):
    save(tmp_path, 1)
    foreign = tmp_path / "checkpoints" / ".notes.tmp"
    foreign.mkdir()
    remove_left_overs(tmp_path)
    assert foreign.exists()
    assert store.list_checkpoints(tmp_path)
