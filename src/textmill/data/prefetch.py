"""Batches made before they are asked for, in threads; making one leaves the interpreter free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from textmill.data.loader import Batch


def prefetch(
    batch: Callable[[int], Batch], steps: Iterable[int], *, depth: int = 2, threads: int = 1
) -> Iterator[Batch]:
    """Yield the batches of steps, in order, while up to ``depth`` of those that follow are made.

    Args:
        batch: makes one, as ``BatchLoader.batch`` does.
        steps: their numbers.
        depth: how many may wait.
        threads: how many are made at once.
    """
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="batches") as makers:
        for step in steps:
            waiting.append(makers.submit(batch, step))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
