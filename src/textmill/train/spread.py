"""On how many processes and what kind of device a run is spread: what a plan reckons with. Nothing here needs torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Where a run trains.

    Attributes:
        device: torch's name of the kind: ``cpu``, ``cuda``.
        num_readers: processes that share out the rows of a batch.
        num_holders: processes that share out weights, gradients and optimizer state.
        num_here: processes that share this machine's memory.
    """

    device: str = "cpu"
    num_readers: int = 1
    num_holders: int = 1
    num_here: int = 1


HERE = Spread()
