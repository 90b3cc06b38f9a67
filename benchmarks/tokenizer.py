"""Measure the tokenizer beside other projects', and write docs/benchmarks/tokenizer.md.

    .venv/bin/python benchmarks/tokenizer.py [--case NAME ...] [--rounds 5] [--quick] [--list] [--prepare] [--write]

Corpora and peers are made under build/ first, which fetches about 0.4 GB of Debian packages, wheels and a vocabulary.
Run it on a machine with two cores that does nothing else; all of it takes more than an hour. NAME may end in *
(``bulk-*``).
"""

from __future__ import annotations

import argparse
import sys
from fnmatch import fnmatch

from tokenizer_speed import callgrind, cases, corpora, peers, report
from tokenizer_speed.measure import Measured, measure
from tokenizer_speed.places import PAGE

_CALLGRIND = "callgrind"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", metavar="NAME", help="only these cases; may be given again")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes for each engine")
    parser.add_argument("--quick", action="store_true", help="tiny inputs and one round, to see that everything runs")
    parser.add_argument("--list", action="store_true", help="print the names of the cases")
    parser.add_argument("--prepare", action="store_true", help="only make corpora and peers")
    parser.add_argument("--write", action="store_true", help="write the page; all cases, and none of them quick")
    given = parser.parse_args()
    if given.write and (given.quick or given.case):
        parser.error("--write keeps whole runs: it goes with neither --quick nor --case")
    return given


def main() -> None:
    """Prepare, measure, and print or write the page."""
    given = arguments()
    every = cases.all_cases()
    if given.list:
        print(*(case.name for case in every), _CALLGRIND, sep="\n")
        return
    wanted = given.case or ["*"]
    chosen = [case for case in every if any(fnmatch(case.name, name) for name in wanted)]
    is_counted = any(fnmatch(_CALLGRIND, name) for name in wanted)
    if not chosen and not is_counted:
        sys.exit(f"no case is named {', '.join(wanted)}; --list prints the names")
    corpora.build()
    installed = {cases.OURS, *peers.install()}
    peers.prepare_vocabulary()
    if given.prepare:
        return
    rounds = 1 if given.quick else given.rounds
    measured: list[Measured] = []
    for case in chosen:
        print(f"{case.name}: {case.work}", file=sys.stderr)
        measured.append(measure(cases.quick(case) if given.quick else case, installed, rounds))
        print(report.table(measured[-1]), report.bars(measured[-1:]), sep="\n", flush=True)
    counted = callgrind.count_all(given.quick) if is_counted else {}
    if counted:
        print(report.instructions(counted))
    if given.write:
        PAGE.write_text(report.page(measured, counted, rounds))


if __name__ == "__main__":
    main()
