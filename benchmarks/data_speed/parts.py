"""The parts of the benchmark: each measured in a process of its own, and kept as JSON with when and where it ran."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from data_speed import fresh_process
from data_speed.job import Job
from machine import machine

PARTS = ("prepare", "dedup", "shards", "loader", "memory", "filters", "word_split")
_FLAGS = ("avx2", "avx512f", "avx512bw")


def measure(part: str, job: Job, load: float) -> dict[str, Any]:
    """Measure a part; returns its record: figures, rounds, date, machine, and its load before anything was measured."""
    begin, date = time.monotonic(), f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    figures, rounds = fresh_process.call(_measure, part, job)
    record = {"date": date, "machine": _machine(), "load": load, "rounds": rounds, "time_s": time.monotonic() - begin}
    return {**record, "figures": figures}


def _measure(part: str, job: Job) -> tuple[dict[str, Any], int]:
    module = importlib.import_module(f"data_speed.{part}")
    return module.measure(job), getattr(module, "ROUNDS", job.rounds)


def keep(folder: Path, part: str, record: dict[str, Any]) -> None:
    """Write a part's record."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}.json").write_text(json.dumps(record, indent=1) + "\n")


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the records of all parts that are there."""
    paths = {part: folder / f"{part}.json" for part in PARTS}
    return {part: json.loads(path.read_text()) for part, path in paths.items() if path.is_file()}


def _machine() -> str:
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{machine(_FLAGS).removesuffix('.')}, {memory_bytes / 2**30:.0f} GiB of memory."
