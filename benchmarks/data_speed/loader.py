"""How fast shards are written, packed, opened and made into batches.

    python -m data_speed.loader FOLDER [--gigabytes 10] [--cold]     (in benchmarks/)

A set of random tokens in documents of 500 on average is written to FOLDER, if it is not there. Tokens are counted in
the bytes that they take on disk, two each. ``--cold`` asks the system to forget the files before each measurement.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from textmill.data.assemble import assemble
from textmill.data.loader import BatchLoader
from textmill.data.packing import open_packing_table
from textmill.data.prefetch import prefetch
from textmill.data.shard_writer import ShardPart, ShardWriter
from textmill.data.shards import MANIFEST, ShardSet

ROWS, CONTEXT = 16, 1024
MEAN_LENGTH = 500
VOCAB_SIZE = 32_000
END = 0
FILE_TOKENS = 1 << 27
PIECE_TOKENS = 1 << 22
ROUNDS = 5
BATCHES = 400
WAYS = {
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


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--cold", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder
    figures: dict[str, object] = {"cold": arguments.cold}
    if not (folder / MANIFEST).is_file():
        begin = time.perf_counter()
        write_set(folder, round(arguments.gigabytes * 1e9 / 2))
        figures["write_mb_per_s"] = 2 * ShardSet(folder).num_tokens / 1e6 / (time.perf_counter() - begin)
    figures |= pack(folder)
    figures |= {
        "start_up_s": start_up(folder, arguments.cold),
        "batches": {name: batches_per_s(folder, way, arguments.cold) for name, way in WAYS.items()},
    }
    print(json.dumps(figures, indent=2))


def pack(folder: Path) -> dict[str, float]:
    """Make the packing table of a set anew."""
    for path in folder.glob("packing-*.bin"):
        path.unlink()
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


def write_set(folder: Path, num_tokens: int) -> None:
    """Write a set of random tokens."""
    generator = np.random.default_rng(0)
    parts: list[ShardPart] = []
    done = 0
    while done < num_tokens:
        with ShardWriter(folder / f"{len(parts):05d}.bin", "uint16") as writer:
            while writer.num_tokens < FILE_TOKENS and done < num_tokens:
                lengths = generator.geometric(1 / MEAN_LENGTH, PIECE_TOKENS // MEAN_LENGTH)
                ids = generator.integers(1, VOCAB_SIZE, int(lengths.sum()), np.uint16)
                ids[np.cumsum(lengths) - 1] = END
                writer.add(ids, lengths, 4 * lengths)
                done += len(ids)
            parts.append(writer.finish())
    assemble(
        folder,
        parts,
        source="a",
        dtype="uint16",
        vocab_size=VOCAB_SIZE,
        document_end=END,
        tokenizer_sha256="0" * 64,
    )


def forget(folder: Path) -> None:
    """Ask the system to drop its copies of a folder's files; it keeps those of files that are mapped."""
    os.sync()
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def start_up(folder: Path, cold: bool) -> dict[str, float]:
    """Open the set, get a loader ready, make a batch from the middle: seconds since the beginning, in new processes."""
    rounds = []
    python = [sys.executable, *(["-S"] if sys.flags.no_site else [])]
    for _ in range(ROUNDS):
        if cold:
            forget(folder)
        done = subprocess.run([*python, "-c", _OPEN, folder], check=True, capture_output=True, text=True)
        rounds.append([float(word) for word in done.stdout.split()])
    return dict(
        zip(("set", "loader", "batch"), (statistics.median(each) for each in zip(*rounds, strict=True)), strict=True)
    )


def batches_per_s(folder: Path, way: dict[str, object], cold: bool) -> dict[str, float]:
    """Make the first batches of a run: MB of tokens a second, and of the first 20 and from threads beside it."""
    result: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, batches in (("alone", plain), ("two threads", two_threads)):
            if cold:
                forget(folder)
            loader = BatchLoader({"a": ShardSet(folder)}, {"a": 1}, rows=ROWS, context=CONTEXT, seed=1, **way)
            for label, rate in times(batches(loader)).items():
                result.setdefault(f"{name}, {label}", []).append(rate)
            del loader
    return {name: statistics.median(values) for name, values in result.items()}


def plain(loader: BatchLoader) -> Iterator[object]:
    """Make batches when they are asked for."""
    return (loader.batch(step) for step in range(BATCHES))


def two_threads(loader: BatchLoader) -> Iterator[object]:
    """Make batches in two threads beside the one that asks."""
    return prefetch(loader.batch, range(BATCHES), depth=4, threads=2)


def times(batches: Iterator[object]) -> dict[str, float]:
    """Take all batches; returns MB/s of the first 20 and of all."""
    begin = time.perf_counter()
    rates = {}
    for number, _ in enumerate(batches, 1):
        if number in (20, BATCHES):
            megabytes = number * ROWS * CONTEXT * 2 / 1e6
            rates[f"first {number}"] = megabytes / (time.perf_counter() - begin)
    return rates


if __name__ == "__main__":
    main()
