"""The parts of the benchmark, each measured in a process of its own."""

from __future__ import annotations

import importlib
import time
from typing import Any

from data_speed import fresh_process
from data_speed.job import Job
from records import record

PARTS = ("prepare", "dedup", "shards", "loader", "memory", "filters", "word_split")


def measure(part: str, job: Job, load: float) -> dict[str, Any]:
    """Measure a part; returns its record."""
    begin = time.monotonic()
    figures, rounds = fresh_process.call(_measure, part, job)
    return record(figures, load=load, rounds=rounds, time_s=time.monotonic() - begin)


def _measure(part: str, job: Job) -> tuple[dict[str, Any], int]:
    module = importlib.import_module(f"data_speed.{part}")
    return module.measure(job), getattr(module, "ROUNDS", job.rounds)
