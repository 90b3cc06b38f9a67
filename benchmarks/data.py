"""Measure the data engine beside other projects, and write docs/benchmarks/data.md.

    .venv/bin/python benchmarks/data.py FOLDER [--rounds 5] [--parts prepare,dedup] [--quick] [--out PAGE]
    .venv/bin/python benchmarks/data.py --render [--out PAGE]

FOLDER holds text files (.txt), 10 MB or more. Other projects are installed under build/peers first. Each part keeps its
figures under build/bench/data, and the page is made of those that are there: a part can be measured again by itself,
and --render measures none. Nothing else may run meanwhile; all of it takes a quarter of an hour on 2 cores and 15 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from data_speed import parts, report
from data_speed.corpus import text_files
from data_speed.job import QUICK, Job, Sizes
from data_speed.places import PAGE, RESULTS, TRIALS
from marked_page import with_measured
from records import keep, kept

# More work than a measurement's own: the load of the last minute.
_BUSY = 0.5


def main() -> None:
    """Measure parts, keep their figures, and print or write the page of all that are kept."""
    given = arguments()
    folder = TRIALS if given.quick else RESULTS
    if not given.render:
        job = Job(folder=given.folder, rounds=given.rounds, sizes=QUICK if given.quick else Sizes())
        load = os.getloadavg()[0]
        for part in given.parts:
            print(f"measuring {part}", file=sys.stderr, flush=True)
            keep(folder, part, parts.measure(part, job, load))
    page = report.page(kept(folder, parts.PARTS))
    print(page)
    if given.out is not None:
        given.out.write_text(with_measured(PAGE, page))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="the text files")
    parser.add_argument(
        "--rounds", type=int, default=5, help="of all but memory and word_split, which are measured once"
    )
    parser.add_argument(
        "--parts", type=_names, default=parts.PARTS, metavar="PARTS", help=f"of {','.join(parts.PARTS)}"
    )
    parser.add_argument("--quick", action="store_true", help="tiny inputs, to see that everything runs")
    parser.add_argument("--render", action="store_true", help="measure nothing, make the page of what is kept")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="write the page, as docs/benchmarks/data.md")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds is {given.rounds}, and there is no median of less than one")
    if given.render == (given.folder is not None):
        parser.error("give a folder of text files, or --render without one")
    if given.folder is not None and not text_files(given.folder):
        parser.error(f"{given.folder} holds no .txt file")
    if given.quick and given.out is not None and given.out.resolve() == PAGE.resolve():
        parser.error("--quick measures nothing that is worth a page: it does not go with --out docs/benchmarks/data.md")
    if given.out is not None and not given.render and not given.quick and os.getloadavg()[0] > _BUSY:
        parser.error(f"the machine is busy (load {os.getloadavg()[0]:.1f}): its figures would be those of other work")
    return given


def _names(text: str) -> Sequence[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(parts.PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(parts.PARTS)}")
    return names


if __name__ == "__main__":
    main()
