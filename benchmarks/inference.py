"""Measure the engine beside llama.cpp and transformers, and write docs/benchmarks/inference.md.

    .venv/bin/python benchmarks/inference.py [--only decode,prefill,batch,long,first,quality] [--types bf16,int8]
                                             [--rounds 5] [--peer PYTHON] [--quick] [--write]

Needs the model (textmill model get smollm2-135m-instruct). llama.cpp is built under build/ first, which takes minutes.
Nothing else may run meanwhile. --peer names a Python that has llama-cpp-python already.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from inference_speed import cases, first_token, measure, models, peers, quality, report, speed, text
from inference_speed.places import RESULTS
from name_list import names
from records import keep_whole
from textmill.base.errors import DataError
from textmill.checkpoint.stored_model import open_model

PARTS = (*speed.PARTS, "first", "quality")
# More work than a measurement's own: the load of the last minute.
_BUSY = 0.5


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=names(PARTS), default=PARTS, metavar="PARTS", help="of " + ",".join(PARTS))
    types = tuple(case.name for case in cases.CASES)
    parser.add_argument("--types", type=names(types), default=types, help="of " + ",".join(types))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="the Python that has llama-cpp-python")
    parser.add_argument("--quick", action="store_true", help="few tokens, to see that everything runs")
    parser.add_argument("--write", action="store_true", help="write the page; all parts and types")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds is {given.rounds}, and there is no median of less than one")
    if given.write and os.getloadavg()[0] > _BUSY:
        parser.error(f"the machine is busy (load {os.getloadavg()[0]:.1f}): its figures would be those of other work")
    if given.write and (set(given.only) != set(PARTS) or set(given.types) != set(types) or given.quick):
        parser.error("--write keeps whole runs: it goes with none of --only, --types and --quick")
    try:
        models.shipped()
    except DataError as error:  # said before llama.cpp is built, which takes minutes
        parser.error(str(error))
    return given


def main() -> None:
    """Measure, print, and with --write put it all into the page."""
    given = arguments()
    parts = set(given.only)
    facts = measure.Facts()
    measured: list[measure.Measured] = []
    scores: list[quality.Score] = []
    first: dict[str, list[float]] = {}
    python = given.peer or (peers.build() if parts - {"first"} else Path())
    if parts & set(speed.PARTS):
        measured = measure_speed(given, python, facts)
    if "first" in parts:
        first = first_token.measure(first_token.ROUNDS)
    if "quality" in parts:
        scores = list(quality.measure(python, quick=given.quick))
    keep_whole(
        RESULTS if given.write else RESULTS.with_name("trial.json"),
        {"facts": facts, "measured": measured, "first": first, "scores": scores},
    )
    page = report.page(measured, facts, first, scores, given.rounds)
    print(page)
    if given.write:
        report.write(page)


def measure_speed(given: argparse.Namespace, peer_python: Path, facts: measure.Facts) -> list[measure.Measured]:
    """Measure the cases and parts that are wanted, telling of each on stderr."""
    ids = open_model(models.shipped()).load_tokenizer().encode(text.held_out())
    sizes = cases.QUICK if given.quick else cases.Sizes()
    measured = []
    for case in cases.CASES:
        if case.name in given.types:
            with speed.CaseRun(
                case, ids, sizes=sizes, rounds=given.rounds, peer_python=peer_python, facts=facts
            ) as run:
                for each in run.measure(set(given.only)):
                    measured.append(each)
                    print(report.speeds_table([each]), file=sys.stderr, flush=True)
    return measured


if __name__ == "__main__":
    main()
