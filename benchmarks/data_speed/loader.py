"""How fast a large shard set is packed, opened and made into batches, from the first batch on.

Tokens are counted in the bytes that they take on disk, two each. "Cold" is after the system was asked to forget the
files; the disk's own host may still know them.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data_speed.corpus import work_folder
from data_speed.environments import PYTHON
from data_speed.job import THREADS, Job
from data_speed.synthetic_set import write_set
from data_speed.turns import in_turn
from textmill.data.loader import BatchLoader
from textmill.data.packing import open_packing_table
from textmill.data.prefetch import prefetch
from textmill.data.shards import ShardSet

ROWS, CONTEXT = 16, 1024
FIRST, BATCHES = 20, 400
WAYS: dict[str, dict[str, Any]] = {
    "concat": {"packing": "concat", "document_masks": False},
    "concat, document masks": {"packing": "concat", "document_masks": True},
    "best-fit, document masks": {"packing": "best-fit", "document_masks": True},
}
_OPEN = """
import sys, time
from pathlib import Path
from textmill.data.loader import BatchLoader
from textmill.data.shards import ShardSet
begin = time.perf_counter()
shards = ShardSet(Path(sys.argv[1]))
opened = time.perf_counter()
loader = BatchLoader({"a": shards}, {"a": 1}, rows=16, context=1024, seed=1, packing="best-fit", document_masks=True)
ready = time.perf_counter()
loader.batch(123_456)
print(opened - begin, ready - begin, time.perf_counter() - begin)
"""


def measure(job: Job) -> dict[str, Any]:
    """Documents a second that are packed, seconds to start up, and MB/s of the first batches; cold ones last."""
    with work_folder() as folder:
        write_set(folder, job.sizes.set_bytes // 2)
        packed = pack(folder)
        ways = {
            f"{name}, {threads}": partial(first_batches, folder, way, threads)
            for name, way in WAYS.items()
            for threads in (1, THREADS)
        }
        remember(folder)
        rates = in_turn(ways, job.rounds)
        starts = in_turn({"in memory": partial(start_up, folder)}, job.rounds)
        cold = {f"{name}, cold": _cold(folder, run) for name, run in ways.items() if name.startswith("best-fit")}
        rates |= in_turn(cold, job.rounds)
        starts |= in_turn({"cold": _cold(folder, partial(start_up, folder))}, job.rounds)
        return {**packed, "start_up_s": starts, "mb_per_s": rates}


def pack(folder: Path) -> dict[str, Any]:
    """Make the packing table of a set."""
    shards = ShardSet(folder)
    begin = time.perf_counter()
    table = open_packing_table(shards, CONTEXT)
    time_s = time.perf_counter() - begin
    return {
        "set_bytes": shards.num_file_bytes,
        "documents": shards.manifest.num_documents,
        "pack_documents_per_s": shards.manifest.num_documents / time_s,
        "padding": table.figures.padding_share,
    }


def remember(folder: Path) -> None:
    """Read a folder's files, so that the system has them in memory where they fit."""
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass


def _cold(folder: Path, run: Callable[[], list[float]]) -> Callable[[], list[float]]:
    """Ask the system to drop its copies of a folder's files before something runs; it keeps those of mapped files."""

    def run_cold() -> list[float]:
        os.sync()
        for path in folder.iterdir():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return run()

    return run_cold


def start_up(folder: Path) -> list[float]:
    """Open the set, get a loader ready, make a batch from the middle: seconds since the beginning, in a new process."""
    done = subprocess.run([*PYTHON, "-c", _OPEN, folder], check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def first_batches(folder: Path, way: dict[str, Any], threads: int) -> list[float]:
    """Make the first batches of a run: MB of tokens a second of the first few, and of all."""
    loader = BatchLoader({"a": ShardSet(folder)}, {"a": 1}, rows=ROWS, context=CONTEXT, seed=1, **way)
    begin = time.perf_counter()
    rates = []
    for number, _ in enumerate(batches_of(loader, threads), 1):
        if number in (FIRST, BATCHES):
            rates.append(number * ROWS * CONTEXT * 2 / 1e6 / (time.perf_counter() - begin))
    return rates


def batches_of(loader: BatchLoader, threads: int) -> Iterator[object]:
    """Make batches when they are asked for, or in threads beside the one that asks."""
    if threads == 1:
        return (loader.batch(step) for step in range(BATCHES))
    return prefetch(loader.batch, range(BATCHES), depth=2 * threads, threads=threads)
