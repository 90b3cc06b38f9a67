"""Measure the trainer, and write docs/benchmarks/training.md.

    .venv/bin/python benchmarks/training.py [--rounds 5] [--parts remat,checkpoint] [--text FILE] [--out PAGE]
    .venv/bin/python benchmarks/training.py --render [--out PAGE]

Each part keeps its figures under build/bench/training, and the page is made of those that are there: a part can be
measured again by itself, and --render measures none. Nothing else may run meanwhile. Checkpoint, step and
characters took 4, 11 and 14 minutes on 2 cores, with 10 GB of memory touched before each, and 6 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data_speed import fresh_process
from marked_page import with_measured
from records import keep, kept, record
from training_parts import characters, checkpoint, extension, remat, step
from training_parts.report import PARTS, page

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks" / "training.md"
RESULTS = ROOT / "build" / "bench" / "training"
# More work than a measurement's own: the load of the last minute.
_BUSY = 0.5
_TOUCHED_BYTES = 10 << 30


def main() -> None:
    """Measure parts, keep their figures, and print or write the page of all that are kept."""
    given = arguments()
    load = os.getloadavg()[0]
    for part in () if given.render else given.parts:
        print(f"measuring {part}", file=sys.stderr, flush=True)
        begin = time.monotonic()
        if part == "characters" and given.text is None:
            print("no text is given (--text FILE), so characters are not measured", file=sys.stderr)
            continue
        figures = fresh_process.call(measure, part, given.rounds, given.text)
        keep(RESULTS, part, record(figures, load=load, rounds=given.rounds, time_s=time.monotonic() - begin))
    measured = page(kept(RESULTS, PARTS))
    print(measured)
    if given.out is not None:
        given.out.write_text(with_measured(PAGE, measured))


def measure(part: str, rounds: int, text: Path | None) -> dict[str, Any]:
    """Measure a part; ``characters`` trains on the text, with three seeds at most."""
    touch_memory()
    if part == "remat":
        return remat.measure(rounds)
    if part == "step":
        return step.measure(rounds)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as folder:
        if part == "extension":
            return extension.measure(Path(folder))
        if part == "characters":
            assert text is not None
            return characters.measure(text, Path(folder), min(rounds, 3))
        return checkpoint.measure(rounds, Path(folder))


def touch_memory() -> None:
    """Use much of the free memory once: a virtual machine gets pages from its host as they are first used."""
    pages = np.empty(
        min(_TOUCHED_BYTES, int(0.75 * os.sysconf("SC_AVPHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")), np.uint8
    )
    pages[::4096] = 1


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parts", type=_names, default=PARTS, metavar="PARTS", help=f"of {','.join(PARTS)}")
    parser.add_argument("--text", type=Path, metavar="FILE", help="what characters are measured on: tiny-shakespeare")
    parser.add_argument("--render", action="store_true", help="measure nothing, make the page of what is kept")
    parser.add_argument("--out", type=Path, metavar="PAGE", help="write the page, as docs/benchmarks/training.md")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds is {given.rounds}, and there is no median of less than one")
    if given.out is not None and not given.render and os.getloadavg()[0] > _BUSY:
        parser.error(f"the machine is busy (load {os.getloadavg()[0]:.1f}): its figures would be those of other work")
    return given


def _names(text: str) -> Sequence[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(PARTS)}")
    return names


if __name__ == "__main__":
    main()
