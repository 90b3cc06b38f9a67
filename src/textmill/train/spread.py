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
        shares_tables: whether tables and head are shared out among holders, too: not where each has some heads.
    """

    device: str = "cpu"
    num_readers: int = 1
    num_holders: int = 1
    num_here: int = 1
    shares_tables: bool = True

    def part_of(self, num_bytes: int, of_tables: int) -> int:
        """What a rank holds of tensors of so many bytes, those of tables and head among them."""
        on_each = 0 if self.shares_tables else of_tables
        return on_each + (num_bytes - on_each) // self.num_holders


HERE = Spread()
