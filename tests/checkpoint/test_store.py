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


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "name", "calls_before"),
    [
        *((os, "pwrite", calls) for calls in range(2)),
        (os, "ftruncate", 1),
        *((os, "fsync", calls) for calls in range(12)),
        *((Path, "replace", calls) for calls in range(2)),
    ],
)
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, owner, name, calls_before):
    old = save(tmp_path, 1)
    before = content(old)
    real, calls = getattr(owner, name), iter(range(100))

    def full(*arguments):
        return real(*arguments) if next(calls) < calls_before else no_space()

    for step in (1, 2):
        calls = iter(range(100))
        monkeypatch.setattr(owner, name, full)
        with pytest.raises(StorageError, match="no space left.*Free some space"):
            save(tmp_path, step, value=9.0)
        monkeypatch.undo()
        # The last flush is of the folder above: the new checkpoint stands in its place by then, and is whole.
        if load_checkpoint(list_checkpoints(tmp_path)[-1]).model["w"][0, 0] == 1.0:
            assert list_checkpoints(tmp_path) == [old]
            assert content(old) == before
            assert hidden(tmp_path) == []
        verify_checkpoint(list_checkpoints(tmp_path)[-1])
    save(tmp_path, 2)
    assert hidden(tmp_path) == []


def test_a_file_that_may_not_grow_leaves_what_was_there(tmp_path):
    old = save(tmp_path, 1)
    before = content(old)
    done = run_python(
        """
        import resource, sys
        from pathlib import Path
        import numpy as np
        from textmill.base.errors import StorageError
        from textmill.checkpoint.store import save_checkpoint

        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))
        tensors = {"w": np.ones(2_000_000, np.float32)}
        try:
            save_checkpoint(Path(sys.argv[1]), 2, model=tensors, optimizer=tensors, state={})
        except StorageError as error:
            print(error)
        """,
        tmp_path,
    )
    assert "file too large" in done.stdout, done.stderr
    assert list_checkpoints(tmp_path) == [old]
    assert content(old) == before
    assert hidden(tmp_path) == []


# A run that saves steps 3, 4, ... into a folder, keeping two; steps 1 and 2 are there.
RUN = """
    import sys
    from pathlib import Path
    import numpy as np
    from textmill.checkpoint.async_saver import CheckpointSaver

    with CheckpointSaver(Path(sys.argv[1]), keep=2) as saver:
        for step in range(int(sys.argv[2]), int(sys.argv[2]) + 6):
            tensors = {"w": np.full((1500, 1000), float(step), np.float32)}  # two blocks
            saver.save(step, model=tensors, optimizer=tensors, state={"value": step})
            for array in tensors.values():
                array[:] = -1.0
    print("survived")
"""
# Passings of each place in one save: both tensor files have two blocks.
PASSINGS = {
    "checkpoint:mid-tensor": 4,
    "checkpoint:before-fsync": 2,
    "checkpoint:before-rename": 1,
    "checkpoint:after-rename": 1,
    "checkpoint:during-prune": 1,
}
KILLS = [
    (f"{name}@{save * passings + passing}", save)
    for name, passings in PASSINGS.items()
    for save in (0, 2)
    for passing in range(1, passings + 1)
]


def run_python(script, *arguments, **environment):
    return subprocess.run(
        [sys.executable, *(["-S"] if sys.flags.no_site else []), "-c", textwrap.dedent(script), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )


def check_values(folder):
    checkpoint = load_checkpoint(folder)
    assert checkpoint.state == {"value": step_of(folder)}
    for tensors in (checkpoint.model, checkpoint.optimizer):
        assert np.array_equal(tensors["w"], np.full((1500, 1000), float(step_of(folder)), np.float32))


@pytest.mark.parametrize(("failpoint", "num_whole"), KILLS)
def test_a_killed_save_leaves_the_last_one(tmp_path, failpoint, num_whole):
    tensors = {"w": np.full((1500, 1000), 1.0, np.float32)}
    for step in (1, 2):
        for array in tensors.values():
            array[:] = step
        save(tmp_path, step, model=tensors, optimizer=tensors, state={"value": step})
    killed = run_python(RUN, tmp_path, 3, TEXTMILL_FAILPOINT=failpoint)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    found = latest_checkpoint(tmp_path, on_damage=pytest.fail)
    renamed = failpoint.startswith(("checkpoint:after-rename", "checkpoint:during-prune"))
    assert step_of(found) == 2 + num_whole + renamed
    for folder in list_checkpoints(tmp_path):
        verify_checkpoint(folder)
        check_values(folder)
    assert run_python(RUN, tmp_path, step_of(found) + 1).stdout == "survived\n"
    assert [step_of(folder) for folder in list_checkpoints(tmp_path)] == [step_of(found) + 5, step_of(found) + 6]
    assert hidden(tmp_path) == []
    check_values(latest_checkpoint(tmp_path, on_damage=pytest.fail))


@pytest.mark.parametrize("place", ["mid-tensor", "before-fsync", "before-rename", "between-renames", "after-rename"])
def test_a_kill_while_a_step_is_saved_again_leaves_that_step(tmp_path, place):
    save(tmp_path, 1)
    save(tmp_path, 3, state={"value": "old"})
    killed = run_python(RUN, tmp_path, 3, TEXTMILL_FAILPOINT=f"checkpoint:{place}")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    # Killed between its two renames the step is hidden for a moment, and comes back.
    assert step_of(latest_checkpoint(tmp_path, on_damage=pytest.fail)) == (1 if place == "between-renames" else 3)
    remove_left_overs(tmp_path)
    assert hidden(tmp_path) == []
    found = latest_checkpoint(tmp_path, on_damage=pytest.fail)
    assert step_of(found) == 3
    assert load_checkpoint(found).state["value"] == (3 if place == "after-rename" else "old")


def test_a_step_that_has_no_name_is_refused(tmp_path):
    for step in (-1, 10**12):
        with pytest.raises(ConfigError, match=f"step is {step}"):
            save(tmp_path, step)


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
