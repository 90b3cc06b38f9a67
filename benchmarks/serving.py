"""Measure the server beside llama.cpp's and llama-cpp-python's, and write docs/benchmarks/serving.md.

    .venv/bin/python benchmarks/serving.py [--only chats,shared,single,idle] [--types q8_0,q4_0,q4_1]
                                           [--servers textmill,llama.cpp,llama-cpp-python]
                                           [--rounds 5] [--seed 1] [--quick] [--write]

Needs the model (textmill model get smollm2-135m-instruct). Both others are built under build/ first, which takes many
minutes. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os

from inference_speed import models
from name_list import names
from records import keep_whole
from serving_speed import cases, measure, report, servers
from serving_speed.places import RESULTS
from serving_speed.prompts import Prompts
from textmill.base.errors import DataError

SERVERS = (cases.OURS, cases.LLAMA_CPP, cases.LLAMA_CPP_PYTHON)
# More work than a measurement's own: the load of the last minute.
_BUSY = 0.5


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", type=names(measure.PARTS), default=measure.PARTS, help="of " + ",".join(measure.PARTS)
    )
    parser.add_argument("--types", type=names(cases.TYPES), default=cases.TYPES, help="of " + ",".join(cases.TYPES))
    parser.add_argument("--servers", type=names(SERVERS), default=SERVERS, help="of " + ",".join(SERVERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1, help="of the random words of prompts")
    parser.add_argument("--quick", action="store_true", help="few tokens, to see that everything runs")
    parser.add_argument("--write", action="store_true", help="write the page; all parts, types and servers")
    given = parser.parse_args()
    if given.rounds < 1:
        parser.error(f"--rounds is {given.rounds}, and there is no median of less than one")
    if given.write and os.getloadavg()[0] > _BUSY:
        parser.error(f"the machine is busy (load {os.getloadavg()[0]:.1f}): its figures would be those of other work")
    is_whole = (given.only, given.types, given.servers, given.quick) == (measure.PARTS, cases.TYPES, SERVERS, False)
    if given.write and not is_whole:
        parser.error("--write keeps whole runs: it goes with none of --only, --types, --servers and --quick")
    if "single" in given.only and cases.OURS not in given.servers:
        parser.error("--only single compares textmill with itself: it needs textmill among --servers")
    try:
        models.shipped()
    except DataError as error:  # said before the others are built, which takes minutes
        parser.error(str(error))
    return given


def main() -> None:
    """Measure, print, and with --write put it all into the page."""
    given = arguments()
    sizes = cases.QUICK if given.quick else cases.Sizes()
    measured, ways = [], []
    for case in given.types:
        model = models.gguf(case)
        ways = servers.ways(model, sizes, given.servers)
        run = measure.CaseRun(
            case=case,
            model=model,
            ways=ways,
            prompts=Prompts(given.seed),
            sizes=sizes,
            rounds=given.rounds,
        )
        measured.append(run.measure(given.only))
        keep_whole(RESULTS if given.write else RESULTS.with_name("trial.json"), measured)
    commands = [servers.shown([way for way in ways if way.server == server]) for server in given.servers]
    if set(given.servers) >= {cases.OURS, cases.LLAMA_CPP}:
        page = report.page(measured, commands, given.rounds)
        print(page)
        if given.write:
            report.write(page)
    else:
        print(json.dumps(measured, indent=1, default=dataclasses.asdict))


if __name__ == "__main__":
    main()
