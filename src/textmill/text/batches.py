"""Items in batches of about the same size, and read before they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

ItemT = TypeVar("ItemT")
_END: Any = object()


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


def read_ahead(items: Iterator[ItemT]) -> Iterator[ItemT]:
    """Yield items while a thread makes the next one: for work that leaves the interpreter free meanwhile."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        following = reader.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = reader.submit(next, items, _END)
            yield item
