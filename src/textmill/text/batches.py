"""Items in batches of about the same size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

ItemT = TypeVar("ItemT")


def in_batches(items: Iterable[ItemT], size_of: Callable[[ItemT], int], batch_size: int) -> Iterator[list[ItemT]]:
    """Yield items in order, each batch as soon as its items have ``batch_size`` together; the last may have less."""
    batch: list[ItemT] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if size >= batch_size:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
