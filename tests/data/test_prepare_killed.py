"""A pipeline that is killed at any moment, and started again, ends in the same bytes."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.pipelines import hashes, pipeline_of, write_corpus
from textmill.base.config import to_table

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
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(path), str(1 << 13), str(workers)], start_new_session=True
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_anywhere_it_ends_the_same(tmp_path, workers):
    corpus = write_corpus(tmp_path / "corpus", num_documents=600)
    tables = {"dedup": {"minhash": True, "recall_sample": 0}, "holdout": {"fraction": 0.1}}
    begun = time.monotonic()
    assert (
        start(pipeline_of(corpus, tmp_path / "whole" / "out", **tables), tmp_path / "whole.json", workers).wait() == 0
    )
    whole_s = time.monotonic() - begun
    rng = random.Random(workers)
    pipeline = pipeline_of(corpus, tmp_path / "killed" / "out", **tables)
    num_killed = 0
    for _ in range(NUM_KILLS):
        process = start(pipeline, tmp_path / "killed.json", workers)
        try:
            process.wait(rng.uniform(0.3, 1.0) * whole_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            num_killed += 1
    assert num_killed or NUM_KILLS == 0
    assert start(pipeline, tmp_path / "killed.json", workers).wait() == 0
    whole, killed = (hashes(tmp_path / name / "out", tmp_path / name / "out-heldout") for name in ("whole", "killed"))
    assert killed == whole
    assert not (tmp_path / "killed" / "out" / ".work").exists()
