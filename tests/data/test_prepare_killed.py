"""A pipeline that is killed at any moment, and started again, ends in the same bytes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.pipelines import hashes, pipeline_of, write_corpus
from fakes.small_files import small_files
from textmill.base.config import to_table
from textmill.base.errors import StorageError
from textmill.data.engines.local import LocalEngine
from textmill.data.prepare import prepare

NUM_KILLS = int(os.environ.get("TEXTMILL_KILLS", "3"))
SCRIPT = Path(__file__).with_name("prepare_in_a_process.py")


def start(pipeline, path, workers):
    table = to_table(pipeline)
    path.write_text(
        json.dumps(
            {key: value for key, value in table.items() if key != "sources"}
            | {
                "sources": {
                    name: {key: value for key, value in source.items() if value is not None}
                    for name, source in table["sources"].items()
                }
            }
        )
    )
    # Without site packages where this process goes without: so it sees the same sources.
    python = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
    return subprocess.Popen([*python, str(SCRIPT), str(path), str(1 << 13), str(workers)], start_new_session=True)


def wait_for_units(process, folder, num_units):
    """Wait until so many results of units lie below a folder of work, or the process has ended."""
    while process.poll() is None and sum(1 for _ in folder.glob("*/*/*/sums.json")) < num_units:
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_anywhere_it_ends_the_same(tmp_path, workers):
    corpus = write_corpus(tmp_path / "corpus", num_documents=600)
    tables = {"dedup": {"minhash": True, "recall_sample": 0}, "holdout": {"fraction": 0.1}}
    whole = pipeline_of(corpus, tmp_path / "whole" / "out", **tables)
    assert start(whole, tmp_path / "whole.json", workers).wait() == 0
    rng = random.Random(workers)
    pipeline = pipeline_of(corpus, tmp_path / "killed" / "out", **tables)
    num_killed = 0
    for _ in range(10 * NUM_KILLS):
        process = start(pipeline, tmp_path / "killed.json", workers)
        wait_for_units(process, tmp_path / "killed" / "out" / ".work", 3 + num_killed * 40 // NUM_KILLS)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            num_killed += 1
        else:  # it came too late, on a busy machine, and proves nothing: all begins anew
            shutil.rmtree(tmp_path / "killed")
            num_killed = 0
        if num_killed == NUM_KILLS:
            break
    assert num_killed == NUM_KILLS
    assert start(pipeline, tmp_path / "killed.json", workers).wait() == 0
    whole_hashes, killed_hashes = (
        hashes(tmp_path / name / "out", tmp_path / name / "out-heldout") for name in ("whole", "killed")
    )
    assert killed_hashes == whole_hashes
    assert not (tmp_path / "killed" / "out" / ".work").exists()


def test_a_full_disk_loses_nothing(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", num_documents=200)
    pipeline = pipeline_of(corpus, tmp_path / "out", dedup={"minhash": True, "recall_sample": 0})
    with pytest.raises(StorageError, match="Free some space"), small_files(20_000):
        prepare(pipeline, LocalEngine(1))
    assert list((tmp_path / "out" / ".work" / "read").glob("*/*/sums.json")) == []
    prepare(pipeline, LocalEngine(1))
    whole = pipeline_of(corpus, tmp_path / "whole" / "out", dedup={"minhash": True, "recall_sample": 0})
    prepare(whole, LocalEngine(1))
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole" / "out")
