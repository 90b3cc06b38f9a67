"""This machine: one process with all its threads, or several processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from textmill.base.errors import ConfigError, TextmillError
from textmill.data.engines.engine import POLL_S

TaskT = TypeVar("TaskT")
ResultT = TypeVar("ResultT")
_MAX_WORKERS = 1024


class LocalEngine:
    """Tasks on this machine.

    Args:
        workers: processes; 1 is this one, without any other. None is one for each core.

    Raises:
        ConfigError: ``workers`` is not 1 to 1024.
    """

    def __init__(self, workers: int | None = None) -> None:
        num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.workers = num_cores if workers is None else workers
        if not 1 <= self.workers <= _MAX_WORKERS:
            raise ConfigError(f"workers is {self.workers}, and must be 1 to {_MAX_WORKERS}")
        self.threads = max(1, num_cores // self.workers)
        self.threads_here = num_cores
        self._pool: ProcessPoolExecutor | None = None

    def run(
        self, function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], poll: Callable[[], Any]
    ) -> Iterator[ResultT]:
        """Yield each task's result as it is there."""
        if self.workers == 1 or len(tasks) <= 1:
            return self._run_here(function, tasks, poll)
        return self._run_in_pool(function, tasks, poll)

    def close(self) -> None:
        """End the processes, and what they were at."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _run_here(
        self, function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], poll: Callable[[], Any]
    ) -> Iterator[ResultT]:
        done = threading.Event()

        def watch() -> None:
            while not done.wait(POLL_S):
                poll()

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            for task in tasks:
                yield function(task)
        finally:
            done.set()
            watcher.join()

    def _run_in_pool(
        self, function: Callable[[TaskT], ResultT], tasks: Sequence[TaskT], poll: Callable[[], Any]
    ) -> Iterator[ResultT]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_end_with_parent,
            )
        waiting = {self._pool.submit(function, task) for task in tasks}
        try:
            while waiting:
                done, waiting = wait(waiting, POLL_S, FIRST_COMPLETED)
                poll()
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            self._pool = None
            raise TextmillError(
                "a worker process ended in the middle of its work; the system may have run out of memory. What was "
                "done is kept: the same command goes on, with fewer --workers it takes less memory"
            ) from error
        finally:
            for future in waiting:
                future.cancel()
            wait(waiting)  # whoever goes on from here may rely on it that nobody writes any more


def _end_with_parent() -> None:
    """Let a worker end when the process that started it is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
