"""Saving beside training: the bytes of its step, one save at a time, and no run lost to a full disk."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch

from textmill.base.errors import ConfigError, DataError, StoppedError, StorageError
from textmill.checkpoint import async_saver
from textmill.checkpoint.async_saver import CheckpointSaver
from textmill.checkpoint.store import (
    latest_checkpoint,
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    step_of,
    verify_checkpoint,
)

TENSORS = {"model": {"w": torch.ones(5, 7)}, "optimizer": {"w/exp_avg": torch.zeros(5, 7)}, "state": {}}


def steps(run):
    return [step_of(folder) for folder in list_checkpoints(run)]


def hidden(run):
    return [path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")]


@pytest.fixture
def gate(monkeypatch):
    """Holds every write up until it is set."""
    opened, real = threading.Event(), async_saver.write_checkpoint

    def write(*arguments):
        assert opened.wait(60)
        return real(*arguments)

    monkeypatch.setattr(async_saver, "write_checkpoint", write)
    return opened


@pytest.mark.parametrize("reserve_bytes", [0, 1000, 100_000_000])
def test_a_save_holds_the_bytes_of_its_step(tmp_path, gate, reserve_bytes):
    weights, state = torch.randn(1000, 300), {"list": [1]}
    wanted = weights.clone()
    with CheckpointSaver(tmp_path, keep=2, reserve_bytes=reserve_bytes) as saver:
        saver.save(1, model={"w": weights}, optimizer={"m": weights.bfloat16()}, state=state)
        weights.zero_()
        state["list"].append(2)
        assert list_checkpoints(tmp_path) == []
        gate.set()
    checkpoint = load_checkpoint(latest_checkpoint(tmp_path))
    assert torch.equal(torch.from_numpy(checkpoint.model["w"]), wanted)
    assert checkpoint.state == {"list": [1]}


def test_it_writes_what_a_plain_save_writes(tmp_path):
    tensors = {
        "model": {"w": torch.randn(70, 30), "half": torch.randn(3).half(), "empty": torch.empty(0, 4)},
        "optimizer": {"step": torch.tensor(4.0), "ids": np.arange(5), "turned": torch.randn(4, 6).T},
        "state": {"a": 1},
    }
    one = save_checkpoint(tmp_path / "a", 1, **tensors)
    with CheckpointSaver(tmp_path / "b", keep=1) as saver:
        saver.save(0, **TENSORS)  # its memory is used again
        other = saver.save_last(1, **tensors)
    assert {p.name: p.read_bytes() for p in one.iterdir()} == {p.name: p.read_bytes() for p in other.iterdir()}
    assert np.array_equal(load_checkpoint(one).optimizer["turned"], tensors["optimizer"]["turned"].numpy())


def test_a_second_save_waits_for_the_first(tmp_path, gate, monkeypatch):
    with CheckpointSaver(tmp_path, keep=5) as saver:
        saver.save(1, **TENSORS)
        assert saver.finished() == []
        waits, real = threading.Event(), saver.wait

        def wait():
            waits.set()
            real()

        def open_later():
            assert waits.wait(60)
            time.sleep(0.3)
            gate.set()

        monkeypatch.setattr(saver, "wait", wait)
        threading.Thread(target=open_later).start()
        saver.save(2, **TENSORS)
        results = saver.finished()
        assert results
        saver.wait()
        results += saver.finished()
    assert [result.step for result in results] == [1, 2]
    assert results[-1].pause_s >= 0.3
    assert results[0].total_s >= 0.3
    assert results[0].folder == list_checkpoints(tmp_path)[0]
    assert results[0].num_bytes == sum(path.stat().st_size for path in results[0].folder.glob("*.safetensors"))
    assert saver.finished() == []


def test_it_prunes(tmp_path):
    with CheckpointSaver(tmp_path, keep=2) as saver:
        for step in range(5):
            saver.save(step, **TENSORS)
    assert steps(tmp_path) == [3, 4]
    assert hidden(tmp_path) == []
    with pytest.raises(ConfigError, match="keep is 0"):
        CheckpointSaver(tmp_path, keep=0)


@pytest.mark.parametrize("error", [StoppedError("stopped", 143), RuntimeError("boom"), KeyboardInterrupt()])
def test_whatever_ends_the_block_waits_for_the_save(tmp_path, gate, error):
    threading.Timer(0.2, gate.set).start()
    with pytest.raises(type(error)), CheckpointSaver(tmp_path, keep=2) as saver:
        saver.save(1, **TENSORS)
        raise error
    assert steps(tmp_path) == [1]


def fail_writes(monkeypatch, error, times):
    real, left = os.pwrite, iter(range(times))

    def write(*arguments):
        if next(left, None) is not None:
            raise error
        return real(*arguments)

    monkeypatch.setattr(os, "pwrite", write)


def test_a_full_disk_does_not_end_the_run(tmp_path, monkeypatch):
    with CheckpointSaver(tmp_path, keep=2) as saver:
        saver.save(1, **TENSORS)
        saver.wait()
        fail_writes(monkeypatch, OSError(errno.ENOSPC, "No space left on device"), 1)
        saver.save(2, **TENSORS)
        saver.wait()
        assert steps(tmp_path) == [1]
        assert hidden(tmp_path) == []
        saver.save(3, **TENSORS)
        saver.wait()
        good, bad, last = saver.finished()
    assert (good.error, bad.folder, last.error) == (None, None, None)
    assert isinstance(bad.error, StorageError)
    assert "Free some space" in str(bad.error)
    assert steps(tmp_path) == [1, 3]
    verify_checkpoint(list_checkpoints(tmp_path)[0])


def test_the_last_save_has_to_succeed(tmp_path, monkeypatch):
    with CheckpointSaver(tmp_path, keep=2) as saver:
        fail_writes(monkeypatch, OSError(errno.ENOSPC, "No space left on device"), 2)
        saver.save(7, **TENSORS)
        with pytest.raises(StorageError, match="no space left"):  # tried again, and full again
            saver.save_last(7, **TENSORS)
        assert [result.step for result in saver.finished()] == [7, 7]
        folder = saver.save_last(7, **TENSORS)
        changed = folder.stat().st_mtime_ns
        assert saver.save_last(7, **TENSORS) == folder  # it is there already
        assert folder.stat().st_mtime_ns == changed


def test_other_errors_come_with_the_next_call(tmp_path):
    def broken(folder):
        raise ZeroDivisionError

    saver = CheckpointSaver(tmp_path, keep=2, write_small_files=broken)
    saver.save(1, **TENSORS)
    with pytest.raises(ZeroDivisionError):
        saver.save(2, **TENSORS)
    saver.wait()  # it is told once
    with pytest.raises(ZeroDivisionError), saver:
        saver.save(3, **TENSORS)
    with pytest.raises(KeyError, match="first"), CheckpointSaver(tmp_path, keep=2, write_small_files=broken) as saver:
        saver.save(4, **TENSORS)
        raise KeyError("first")
    assert list_checkpoints(tmp_path) == []
    assert hidden(tmp_path) == []


def test_what_cannot_be_saved_is_refused_at_once(tmp_path):
    with CheckpointSaver(tmp_path, keep=2) as saver:
        with pytest.raises(ConfigError, match="step is -1"):
            saver.save(-1, **TENSORS)
        with pytest.raises(DataError, match='the tensor "w" has the dtype complex64'):
            saver.save(1, **(TENSORS | {"model": {"w": torch.zeros(2, dtype=torch.complex64)}}))
        saver.save_last(1, **TENSORS)


def run_python(script, *arguments):
    python = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
    return subprocess.Popen(
        [*python, "-c", textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_a_signal_during_a_save_waits_for_it(tmp_path):
    script = """
        import os, sys, time
        from pathlib import Path
        import numpy as np
        from textmill.checkpoint.async_saver import CheckpointSaver
        from textmill.train.stop import StopRequest

        real = os.pwrite
        def slow(*arguments):
            print("writing", flush=True)
            time.sleep(0.5)
            return real(*arguments)
        os.pwrite = slow

        with StopRequest() as stop, CheckpointSaver(Path(sys.argv[1]), keep=1) as saver:
            tensors = {"w": np.ones(10, np.float32)}
            saver.save(1, model=tensors, optimizer=tensors, state={})
            while not stop:
                time.sleep(0.01)
            raise SystemExit(stop.error("").exit_code)
    """
    with run_python(script, tmp_path) as process:
        assert process.stdout.readline() == "writing\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 143
    assert steps(tmp_path) == [1]
    verify_checkpoint(list_checkpoints(tmp_path)[0])
    assert hidden(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "textmill-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system to fill up")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(small_disk):
    tensors = {"w": np.ones(400_000, np.float32)}  # 3.2 MB a checkpoint, on a disk of 6
    with CheckpointSaver(small_disk, keep=1) as saver:
        saver.save(1, model=tensors, optimizer=tensors, state={})
        saver.wait()
        before = {path.name: path.read_bytes() for path in list_checkpoints(small_disk)[0].iterdir()}
        saver.save(2, model=tensors, optimizer=tensors, state={})
        saver.wait()
        assert steps(small_disk) == [1]
        assert hidden(small_disk) == []
        assert {path.name: path.read_bytes() for path in list_checkpoints(small_disk)[0].iterdir()} == before
        few = {"w": np.ones(4, np.float32)}
        saver.save_last(3, model=few, optimizer=few, state={})
        assert [result.error is None for result in saver.finished()] == [True, False, True]
    assert steps(small_disk) == [3]


MEMORY = """
    import sys
    from pathlib import Path
    import torch
    from textmill.checkpoint.restore import restore_model, restore_optimizer
    from textmill.checkpoint.store import latest_checkpoint, load_checkpoint

    def bytes_of(key):
        line = next(line for line in open("/proc/self/status") if line.startswith(key))
        return 1024 * int(line.split()[1])

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.empty(4000, 4000))

    found = latest_checkpoint(Path(sys.argv[1]))
    before = bytes_of("VmRSS")
    checkpoint = load_checkpoint(found)
    model = Model()
    restore_model(checkpoint, model)
    moments = restore_optimizer(checkpoint)
    print((bytes_of("VmHWM") - before) / (3 * 4 * 4000 * 4000))
    assert model.w[0, 0] == 2.0 and moments["v"][-1, -1] == 3.0
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_resuming_takes_the_memory_of_the_tensors_alone(tmp_path):
    weights = torch.full((4000, 4000), 2.0)  # 64 MB
    save_checkpoint(tmp_path, 1, model={"w": weights}, optimizer={"m": weights, "v": weights + 1}, state={})
    with run_python(MEMORY, tmp_path) as process:
        growth = float(process.stdout.read())
    assert process.returncode == 0
    assert 0.99 < growth < 1.05  # 5 % for threads and what is imported on the way
