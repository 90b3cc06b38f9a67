"""Jobs run in fresh processes, in turn: A B, B A, so that what the machine does besides hits all alike."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tokenizer_speed.cases import OURS, Case
from tokenizer_speed.engines import ENGINES
from tokenizer_speed.peers import environment
from tokenizer_speed.places import PEER_PYTHON
from tokenizer_speed.trainers import REFERENCES, TRAINERS


@dataclass
class Measured:
    """What came of a case.

    Attributes:
        rounds: for each engine, the figures of each process, in the order of the rounds.
        refused: engines that were not timed as equals, and why.
    """

    case: Case
    rounds: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def medians(self, figure: str) -> dict[str, float]:
        """Return the median of a figure for each engine that has it."""
        return {name: median(each[figure] for each in rounds) for name, rounds in self.rounds.items()}


def measure(case: Case, installed: set[str], num_rounds: int) -> Measured:
    """Compare the ids of all engines, then time those that agree, each round in a process of its own."""
    measured = Measured(case)
    engines = []
    for name in (*case.engines, *case.also):
        if _project(name) not in installed:
            measured.refused[name] = "not installed"
        else:
            engines.append(name)
    references = {name: _reference(case, name) for name in engines}
    facts = {name: _ids(case, name) for name in sorted({*engines, *references.values()})}
    for name, reference in references.items():
        fact = facts[name]
        if "error" in fact:
            measured.refused[name] = fact["error"]
        elif fact["ids"] != facts[reference].get("ids"):
            measured.refused[name] = f"{'merges' if case.job['kind'] == 'train' else 'ids'} differ from {reference}'s"
        measured.sizes |= {key: fact[key] for key in ("bytes", "documents", "num_tokens") if key in fact}
    timed = [name for name in engines if _is_timed(case, name, measured.refused)]
    for number in range(num_rounds):
        for name in timed if number % 2 == 0 else reversed(timed):
            measured.rounds.setdefault(name, []).append(_figures(run(case.job, name, case.threads)))
    return measured


def run(job: dict[str, Any], engine: str, threads: int, before: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run a job in a fresh process that has as many cores as threads; ``error`` is its last line where it failed."""
    python = sys.executable if engine.startswith(OURS) else str(PEER_PYTHON)
    cores = f"0-{threads - 1}"
    argument = json.dumps({**job, "engine": engine})
    command = ["taskset", "-c", cores, *before, python, "-m", "tokenizer_speed.worker", argument]
    result = subprocess.run(command, env=environment(threads), capture_output=True, text=True)
    if result.returncode:
        lines = result.stderr.strip().splitlines() or [f"exit status {result.returncode}"]
        return {"error": lines[-1]}
    return json.loads(result.stdout.splitlines()[-1])


def _reference(case: Case, name: str) -> str:
    return REFERENCES[TRAINERS[name].reads] if case.job["kind"] == "train" else "tiktoken"


def _ids(case: Case, name: str) -> dict[str, Any]:
    job = {**case.job, "passes": 1} if "passes" in case.job else {**case.job, "rounds": 1}
    return run(job, name, case.threads)


def _is_timed(case: Case, name: str, refused: dict[str, str]) -> bool:
    """Tell whether an engine is timed: trainers whose merges differ are, beside a note; encoders are not."""
    return name not in refused or (case.job["kind"] == "train" and "differ" in refused[name])


def _figures(facts: dict[str, Any]) -> dict[str, float]:
    if "error" in facts:
        raise RuntimeError(f"a job failed that had run before: {facts['error']}")
    seconds = facts["seconds"]
    memory = {key: facts[key] for key in ("peak", "added", "held") if key in facts}
    if "held" in memory:
        return {"load": seconds[0], "first": seconds[1], **memory}
    if "peak" not in memory:
        return {"best": seconds[0], "median": seconds[1]}
    if "documents" not in facts:
        return {"time": seconds[0], **memory}
    return {"cold": seconds[0], "warm": median(seconds[1:] or seconds), **memory}


def _project(name: str) -> str:
    return (ENGINES.get(name) or TRAINERS[name]).project
