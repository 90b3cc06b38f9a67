"""The one thread that computes: it makes steps while there are answers to make, and sleeps while there are none."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from textmill.infer.batcher import Batcher
from textmill.serve.job import Job, Piece

T = TypeVar("T")
_News = tuple[Job, list[Piece], bool]
"""A job, what it gets, and whether that is all."""


class Stepper:
    """Drives the batchers of all models in turn, and tells the event loop of a step's news in one call.

    Two models never compute at once: each has a thread for every core.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, on_failure: Callable[[BaseException], object]) -> None:
        """Start the thread; ``on_failure`` hears there of what ended a step."""
        self._loop = loop
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._arrived: deque[Job] = deque()
        self._errands: deque[Callable[[], None]] = deque()
        self._jobs: dict[Batcher, list[Job]] = {}
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="textmill-steps", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Begin a job.

        Raises:
            ConfigError: where an answer could not be computed even with the whole KV cache.
        """
        try:
            for answer in job.answers:
                job.batcher.submit(answer)
        except BaseException:
            job.abort()
            raise
        with self._changed:
            self._arrived.append(job)
            self._changed.notify()

    async def run(self, work: Callable[[], T]) -> T:
        """Do something between two steps, in the thread that computes: what needs the runner for itself."""
        done: asyncio.Future[T] = self._loop.create_future()

        def errand() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  told to whoever waits
                self._tell(lambda error=error: done.cancelled() or done.set_exception(error))
            else:
                self._tell(lambda: done.cancelled() or done.set_result(result))

        with self._changed:
            self._errands.append(errand)
            self._changed.notify()
        return await done

    def stop(self, timeout_s: float) -> bool:
        """Let the thread end after what it is doing, and wait for that; False where it takes longer."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while self._wait():
            if self._errands:
                self._errands.popleft()()
            for batcher in list(self._jobs):
                self._step(batcher)

    def _wait(self) -> bool:
        """Sleep while there is nothing to do; False when all is over."""
        with self._changed:
            while not (self._arrived or self._errands or self._jobs or self._is_stopped):
                self._changed.wait()
            while self._arrived:
                job = self._arrived.popleft()
                self._jobs.setdefault(job.batcher, []).append(job)
            return not self._is_stopped

    def _step(self, batcher: Batcher) -> None:
        jobs = self._jobs[batcher]
        began = time.monotonic()
        failure: Exception | None = None
        did_something = False
        try:
            did_something = batcher.step()
        except Exception as error:  # noqa: BLE001  the requests end with it, and the server goes on
            failure = error
        news = self._collect(batcher, began)
        if failure is None and not did_something and len(self._jobs.get(batcher, ())) == len(jobs):
            failure = RuntimeError("answers are followed that the batcher does not know")
        if failure is not None:
            self._on_failure(failure)
            for job in self._jobs.get(batcher, ()):
                job.fail(failure)
            news += self._collect(batcher, began)
        if news:
            self._tell(lambda: _hand_over(news))

    def _collect(self, batcher: Batcher, began: float) -> list[_News]:
        """Gather the news of a batcher's jobs, and follow those no more that have ended."""
        now = time.monotonic()
        news: list[_News] = []
        unended: list[Job] = []
        for job in self._jobs.pop(batcher, ()):
            pieces = job.collect(began, now)
            is_end = job.ended_at is not None
            if pieces is not None:
                news.append((job, pieces, is_end))
            if not is_end:
                unended.append(job)
        if unended:
            self._jobs[batcher] = unended
        return news

    def _tell(self, call: Callable[[], object]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:  # the loop has ended, and nobody listens any more
            self._is_stopped = True


def _hand_over(news: list[_News]) -> None:
    for job, pieces, is_end in news:
        job.hand_over(pieces, is_end=is_end)
