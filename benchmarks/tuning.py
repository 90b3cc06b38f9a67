"""Measure LoRA tuning on conversations beside TRL and PEFT, and write docs/benchmarks/tuning.md.

    .venv/bin/python benchmarks/tuning.py [--rounds 3] [--cases unpacked,ragged] [--steps 8] [--out PAGE]
    .venv/bin/python benchmarks/tuning.py --render [--out PAGE]

SmolLM2-135M-Instruct, f32, rank 16 on all linear layers of blocks, 8 conversations a step, no activation checkpointing
in TRL, 2 threads. Each way runs in a process of its own, taking turns. Nothing else may run meanwhile. TRL is installed
into build/peers/trl first. Figures are kept under build/bench/tuning.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from marked_page import table, with_measured
from records import Records, keep, kept, origin, record
from tuning_parts.work import CASES, Case, prepare

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "tuning.md"
RESULTS = ROOT / "build" / "bench" / "tuning"
PEER = ROOT / "build" / "peers" / "trl"
PACKAGES = ("torch==2.13.0", "trl==1.16.0", "transformers==5.23.0", "peft==0.21.2")
WAYS = ("textmill", "trl")


def main() -> None:
    """Measure cases, keep their figures, and print or write the page of all that are kept."""
    given = arguments()
    names = [case.name for case in CASES]
    for case in () if given.render else [case for case in CASES if case.name in given.cases]:
        load, begin = os.getloadavg()[0], time.monotonic()
        figures = measure(dataclasses.replace(case, steps=given.steps), given.rounds, given.peer)
        keep(RESULTS, case.name, record(figures, load=load, rounds=given.rounds, time_s=time.monotonic() - begin))
    measured = page(kept(RESULTS, names), names)
    print(measured)
    if given.out is not None:
        given.out.write_text(with_measured(PAGE, measured))


def measure(case: Case, rounds: int, peer: Path | None) -> dict[str, Any]:
    """Run both ways in turns; medians of tokens a second, and the most memory."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = prepare(RESULTS, case)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in WAYS if number % 2 == 0 else WAYS[::-1]:
            print(f"{case.name}: {way}, round {number + 1}", file=sys.stderr, flush=True)
            found[way].append(run(way, path, case, peer))
    return {
        way: {
            "tokens_per_s": statistics.median(one["tokens_per_s"] for one in each),
            "peak_bytes": max(one["peak_bytes"] for one in each),
        }
        for way, each in found.items()
    }


def run(way: str, case_path: Path, case: Case, peer: Path | None) -> dict[str, float]:
    """One way in a process of its own."""
    script, out = Path(__file__).parent / "tuning_parts" / f"{way}_way.py", RESULTS / "out.json"
    python = sys.executable if way == "textmill" else str(peer_python() if peer is None else peer)
    threads = str(case.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if way != "textmill":
        environment["PYTHONPATH"] = ""
    subprocess.run([python, str(script), str(case_path), str(out)], check=True, env=environment, stdout=sys.stderr)
    return json.loads(out.read_text())


def peer_python() -> Path:
    """TRL's Python, in an environment that is made where it is not there."""
    python, stamp = PEER / "bin" / "python", PEER / "installed.txt"
    if not stamp.exists() or stamp.read_text() != " ".join(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", str(PEER)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        stamp.write_text(" ".join(PACKAGES))
    return python


def page(records: Records, names: list[str]) -> str:
    """What was measured, as a table, with when and where."""
    heads = ("conversations", "textmill, tokens/s", "TRL, tokens/s", "faster", "textmill, peak", "TRL, peak", "of it")
    rows = []
    for name, kept_record in records.items():
        ours, theirs = (kept_record["figures"][way] for way in WAYS)
        rows.append(
            (
                name,
                f"{ours['tokens_per_s']:,.0f}",
                f"{theirs['tokens_per_s']:,.0f}",
                f"{ours['tokens_per_s'] / theirs['tokens_per_s']:.2f}x",
                f"{ours['peak_bytes'] / 1e9:.2f} GB",
                f"{theirs['peak_bytes'] / 1e9:.2f} GB",
                f"{ours['peak_bytes'] / theirs['peak_bytes']:.2f}",
            )
        )
    return f"{origin(records, names)}\n{table(heads, rows)}"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Measure LoRA tuning beside TRL and PEFT.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--cases", type=lambda text: text.split(","), default=[case.name for case in CASES])
    parser.add_argument("--peer", type=Path, help="a Python that has TRL and PEFT, in the place of build/peers/trl")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
