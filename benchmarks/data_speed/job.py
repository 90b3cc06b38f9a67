"""What is to be measured: the text, how often, and how large inputs are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# The bars are for two cores: processes where work is cut into files or units, threads elsewhere.
PROCESSES = THREADS = 2


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large inputs are.

    Attributes:
        texts: documents of 4 KB that are taken of the text at most.
        shards_bytes: of the jsonl that is made into shards as it is.
        near_documents: documents among which near duplicates are looked for, before copies are planted.
        set_bytes: of the set that batches are made from.
        memory_bytes: of the two inputs whose peak memory is compared.
        slow_texts: documents for filters that are Python.
    """

    texts: int = 1 << 30
    shards_bytes: int = 200_000_000
    near_documents: int = 6_000
    set_bytes: int = 10_000_000_000
    memory_bytes: tuple[int, int] = (1_000_000_000, 4_000_000_000)
    slow_texts: int = 1_000


QUICK = Sizes(
    texts=500,
    shards_bytes=4_000_000,
    near_documents=500,
    set_bytes=40_000_000,
    memory_bytes=(4_000_000, 16_000_000),
    slow_texts=50,
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run: ``folder`` holds text files."""

    folder: Path
    rounds: int
    sizes: Sizes
