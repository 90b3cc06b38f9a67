"""Rounds in which all engines do the same in turn: A B, B A, so that what the machine does besides hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from inference_speed.cases import OURS
from inference_speed.processes import Process


@dataclass
class Measured:
    """What came of one work.

    Attributes:
        kind, number: the work: prefill of ``number`` tokens, long prefill and long decode after so many, a batch of so
            many texts, which is 1 for decode.
        case: the name of a case.
        speeds: tokens a second of each engine, in the order of the rounds.
        way: the options that were llama.cpp's fastest.
    """

    kind: str
    number: int
    case: str
    way: dict[str, Any]
    speeds: dict[str, list[float]]

    @property
    def work(self) -> str:
        """Name the work in words."""
        if self.kind.startswith("long "):
            return f"{self.kind.removeprefix('long ')} after {self.number:,}"
        return {"decode": "decode", "batch": f"batch of {self.number}"}.get(self.kind, f"{self.kind} of {self.number}")

    def medians(self) -> dict[str, float]:
        """Tokens a second of each engine."""
        return {name: median(speeds) for name, speeds in self.speeds.items()}

    def ratios(self, peer: str) -> list[float]:
        """Ours by a peer's, round by round."""
        return [ours / theirs for ours, theirs in zip(self.speeds[OURS], self.speeds[peer], strict=True)]


_TRIES = 2


@dataclass
class Facts:
    """What the engines say of themselves, and what the memory gave in bytes a second, in the order of the rounds."""

    engines: dict[str, dict[str, Any]] = field(default_factory=dict)
    bandwidths: list[float] = field(default_factory=list)
    bytes_a_token: dict[str, float] = field(default_factory=dict)


def in_turn(jobs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run all jobs in each round, forwards and backwards; a round before them is not counted."""
    results: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name in jobs if number % 2 else reversed(jobs):
            speed = jobs[name]()
            if number:
                results[name].append(speed)
    return results


def fastest_way(
    process: Process, run: Callable[[Process], float], ways: Sequence[dict[str, Any]], opened: Callable[..., None]
) -> dict[str, Any]:
    """Try the ways of an engine twice in turn, and leave open the one with the best of all speeds."""
    speeds = [0.0] * len(ways)
    for _ in range(_TRIES if len(ways) > 1 else 1):
        for number, way in enumerate(ways):
            opened(process, way)
            speeds[number] = max(speeds[number], run(process))
    best = ways[speeds.index(max(speeds))]
    if best != ways[-1]:
        opened(process, best)
    return best
