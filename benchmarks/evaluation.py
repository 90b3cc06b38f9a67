"""Scoring multiple choice beside lm-evaluation-harness's ``hf`` model, into docs/benchmarks/evaluation.md.

    .venv/bin/python benchmarks/evaluation.py [--items 1000] [--rounds 5] [--shots 0 5] [--precision bf16 f32] [--write]

Both engines are given the same requests through the harness's own interface, tokenization included, each in a process
that stays loaded. The items are cut into as many parts as there are rounds; a part is scored by both, forwards and
backwards in turn. The harness's batch size is the fastest of a few on the first items, which are not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

from evaluation_speed import environment, items
from inference_speed.models import folder, shipped
from machine import machine
from marked_page import table, with_measured
from textmill.base.errors import TextmillError
from textmill.tokenizer.tokenizer import Tokenizer

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "evaluation.md"
BARS = {0: 3.0, 5: 10.0}
BATCH_SIZES = (1, 8, 32)
WARM_UP = 4
THREADS = 2


class Engine:
    """A worker and what it has found."""

    def __init__(self, python: Path, name: str, precision: str, batch_size: int = 1) -> None:
        paths = [str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
        self.name, self.batch_size = name, batch_size
        self._process = subprocess.Popen(
            [python, "-m", "evaluation_speed.worker", name, str(folder()), precision, str(batch_size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ
            | {
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "OMP_NUM_THREADS": str(THREADS),
                "HF_HUB_OFFLINE": "1",
                "TOKENIZERS_PARALLELISM": "true",
            },
        )
        self._read()

    def score(self, asked: list[list[tuple[str, str]]]) -> tuple[float, list[float]]:
        """Seconds for some items, and the log-probabilities."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"pairs": [pair for item in asked for pair in item]}) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        return answer["seconds"], answer["logprobs"]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self._process.wait()}; its last words are above")
        return json.loads(line)


def main() -> None:
    """Measure, print, and write the page where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--precision", nargs="+", default=["bf16", "f32"])
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks/evaluation.md")
    given = parser.parse_args()
    try:
        shipped()
    except TextmillError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    python = environment.python()
    rows = [
        measure(python, precision, shots, given.items, given.rounds)
        for precision in given.precision
        for shots in given.shots
    ]
    heads = (
        "work",
        "items",
        "bar",
        "textmill",
        "lm-eval hf",
        "ratio",
        "range",
        "met",
        "largest difference of a log-probability",
    )
    measured = (
        f"{machine(('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16'))} {THREADS} threads. "
        f" {' and '.join(environment.PACKAGES)}.\n\n{table(heads, rows)}"
    )
    print(measured)
    if given.write:
        PAGE.write_text(with_measured(PAGE, measured))


def measure(python: Path, precision: str, shots: int, count: int, rounds: int) -> list[str]:
    """One row: items a second of both, round by round."""
    asked = items.requests(Tokenizer.load(folder()), count + WARM_UP, shots)
    warm, asked = asked[:WARM_UP], asked[WARM_UP:]
    theirs = fastest(python, precision, warm)
    ours = Engine(python, "textmill", precision)
    ours.score(warm)
    speeds: dict[str, list[float]] = {theirs.name: [], ours.name: []}
    difference = 0.0
    try:
        for number in range(rounds):
            part = asked[number::rounds]
            found = {}
            for engine in (ours, theirs) if number % 2 else (theirs, ours):
                seconds, found[engine.name] = engine.score(part)
                speeds[engine.name].append(len(part) / seconds)
                print(f"{precision}, {shots} shots, {engine.name}: {len(part) / seconds:.2f} items/s", file=sys.stderr)
            apart = (abs(a - b) for a, b in zip(found[ours.name], found[theirs.name], strict=True))
            difference = max(difference, *apart)
    finally:
        ours.close()
        theirs.close()
    ratios = [a / b for a, b in zip(speeds[ours.name], speeds[theirs.name], strict=True)]
    bar = BARS.get(shots)
    return [
        f"{precision}, {shots} examples",
        f"{len(asked):,}, in {rounds} rounds",
        f"≥ {bar:g}×" if bar else "",
        f"{median(speeds[ours.name]):.1f} items/s",
        f"{median(speeds[theirs.name]):.2f} items/s (batch {theirs.batch_size})",
        f"{median(ratios):.2f}×",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
        "" if bar is None else "yes" if median(ratios) >= bar else "no",
        f"{difference:.2g}",
    ]


def fastest(python: Path, precision: str, warm: list[list[tuple[str, str]]]) -> Engine:
    """The harness with the batch size that was fastest on the second of two tries."""
    tried: list[tuple[float, int]] = []
    for batch_size in BATCH_SIZES:
        engine = Engine(python, "hf", precision, batch_size)
        engine.score(warm)
        tried.append((engine.score(warm)[0], batch_size))
        engine.close()
    engine = Engine(python, "hf", precision, min(tried)[1])
    engine.score(warm)
    return engine


if __name__ == "__main__":
    main()
