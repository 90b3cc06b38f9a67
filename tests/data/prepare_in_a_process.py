"""Carry out a pipeline (a file of JSON) in a process of its own, which may be killed: PIPELINE UNIT_BYTES WORKERS."""

import json
import sys
from pathlib import Path

from textmill.base.config import from_table
from textmill.data import job
from textmill.data.engines.local import LocalEngine
from textmill.data.pipeline import Pipeline
from textmill.data.prepare import prepare

if __name__ == "__main__":
    job.UNIT_BYTES_OF_MB = int(sys.argv[2])
    prepare(from_table(Pipeline, json.loads(Path(sys.argv[1]).read_text())), LocalEngine(int(sys.argv[3])))
