"""From the command to the first token of the real model; writes docs/benchmarks/inference.md.

    make bench-inference

Needs the model (textmill model get smollm2-135m-instruct). Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "inference.md"
MODEL = "smollm2-135m-instruct"
QUESTION = "What is the capital of France?"
TEXTMILL = str(Path(sys.executable).parent / "textmill")


def main() -> None:
    """Measure, print, and with --write put the tables into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    tables = first_token_table(arguments.rounds)
    print(tables)
    if arguments.write:
        page = PAGE.read_text()
        PAGE.write_text(
            re.sub(
                r"(<!-- measured -->\n).*(<!-- end -->)", lambda m: m[1] + tables + "\n" + m[2], page, flags=re.DOTALL
            )
        )


def first_token_table(rounds: int) -> str:
    """Seconds from the start of a process to the first token of an answer, all ways in turn."""
    ways: dict[str, Sequence[str]] = {
        "`textmill generate`": [TEXTMILL, "generate", MODEL, "The capital of France is", "--max-tokens", "16"],
        "`textmill chat --prompt`": [TEXTMILL, "chat", MODEL, "--prompt", QUESTION],
    }
    skips = {"`textmill generate`": len("The capital of France is")}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):  # the first round warms the caches of files
        for name, command in ways.items():
            times[name].append(seconds_to_output(command, skips.get(name, 0)))
    rows = [
        f"| {name} | {statistics.median(taken[1:]):.2f} | {min(taken[1:]):.2f} to {max(taken[1:]):.2f} |"
        for name, taken in times.items()
    ]
    head = f"{rounds} rounds, all ways in turn, {os.cpu_count()} cores.\n\n"
    return (
        head
        + "| from the start of the command to the first token | seconds, median | range |\n|---|---|---|\n"
        + "\n".join(rows)
    )


def seconds_to_output(command: Sequence[str], skip: int) -> float:
    """How long until a command has written more than ``skip`` bytes; it is ended then."""
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        taken = _until(lambda: os.read(process.stdout.fileno(), 4096), skip, begin)  # type: ignore[union-attr]
        process.kill()
    return taken


def _until(read: Callable[[], bytes], skip: int, begin: float) -> float:
    seen = 0
    while seen <= skip:
        piece = read()
        if not piece:
            raise SystemExit("a command ended without a token; run it by hand to see why")
        seen += len(piece)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
