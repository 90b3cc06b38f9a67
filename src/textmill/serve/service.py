"""What all routes share: models, the thread that computes, limits, and what is counted."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from typing import Any, Literal, TypeVar

from textmill.base.errors import ConfigError, DataError
from textmill.infer.answer import Answer
from textmill.infer.batcher import MAX_RUNNING
from textmill.serve.api_error import ApiError, of_request
from textmill.serve.exchange import Exchange, GoneError
from textmill.serve.job import DeadlineError, Job
from textmill.serve.metrics import Metrics
from textmill.serve.model_pool import Lease
from textmill.serve.models import Models, ServedModel
from textmill.serve.settings import Settings
from textmill.serve.stepper import Stepper

T = TypeVar("T")

# Laying out a longer text takes long enough for others to notice.
_CHARACTERS_AT_ONCE = 1 << 15
_RETRY_AFTER_MAX_S = 30


class Service:
    """A server's state.

    Attributes:
        settings: what it was started with.
        models: None while they are loaded.
        phase: ``loading``, ``ready`` or ``draining``; requests are taken only when it is ready.
        stepper: the thread that computes.
        metrics: what is counted.
        created: when it was started, seconds since 1970.
    """

    def __init__(self, settings: Settings, *, stepper: Stepper, metrics: Metrics) -> None:
        self.settings = settings
        self.stepper = stepper
        self.metrics = metrics
        self.models: Models | None = None
        self.phase: Literal["loading", "ready", "draining"] = "loading"
        self.created = int(time.time())
        self._num_answers = 0
        self._mean_s = 1.0  # of the last requests

    def open(self, models: Models) -> None:
        """Take requests for these models."""
        self.models = models
        self.metrics.watch(models)
        if self.phase == "loading":
            self.phase = "ready"

    @contextlib.asynccontextmanager
    async def lease(
        self, exchange: Exchange, name: str | None, timeout_s: float | None = None
    ) -> AsyncIterator[ServedModel]:
        """Keep a model in memory while a request needs it; it waits for one that is loaded no longer than it may take.

        Raises:
            ApiError: there is none of that name, no room for it, it cannot be loaded, or not in time.
            GoneError: the client went away meanwhile.
        """
        assert self.models is not None, "requests are taken when models are there"
        lease = self.models.try_take(name) or await self._take(exchange, self.models.take(name), timeout_s)
        try:
            yield lease.model
        finally:
            lease.give_back()

    async def _take(
        self, exchange: Exchange, take: Coroutine[Any, Any, Lease[ServedModel]], timeout_s: float | None
    ) -> Lease[ServedModel]:
        taking, gone = asyncio.create_task(take), asyncio.create_task(exchange.wait_until_gone())
        left_s = exchange.began + self._timeout_s(exchange, timeout_s) - time.monotonic()
        try:
            await asyncio.wait({taking, gone}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if taking.done():
                return taking.result()
            raise GoneError if gone.done() else deadline_passed()
        finally:
            gone.cancel()
            taking.cancel()

    async def lay_out(self, num_characters: float, work: Callable[[], T]) -> T:
        """Make tokens of a text: at once if it is short, else beside the loop, where others need not wait for it.

        Raises:
            ApiError: the text cannot be taken.
        """
        with refused_as_request():
            if num_characters <= _CHARACTERS_AT_ONCE:
                return work()
            return await asyncio.to_thread(work)

    @contextlib.asynccontextmanager
    async def making(
        self,
        exchange: Exchange,
        model: ServedModel,
        answers: Sequence[Answer],
        *,
        tells_all: bool,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Job]:
        """Have answers made while the block runs; they end with it, when the client goes away, or at the deadline.

        Raises:
            ApiError: there are too many answers in the queue, or one does not fit into the KV cache.
        """
        deadline = exchange.began + self._timeout_s(exchange, timeout_s)
        self._check_room(len(answers))
        for answer in answers:
            answer.client = exchange.client
        job = Job(model.lm.batcher, answers, tells_all=tells_all)
        job.on_cancel(exchange.break_off_if_stuck)
        with refused_as_request():
            self.stepper.submit(job)
        self._num_answers += len(answers)
        watch = asyncio.create_task(_cancel_when_gone(exchange, job))
        timer = asyncio.get_running_loop().call_at(
            asyncio.get_running_loop().time() + deadline - time.monotonic(), job.cancel, DeadlineError()
        )
        try:
            yield job
        finally:
            timer.cancel()
            watch.cancel()
            job.abort()
            self._num_answers -= len(answers)
            self._mean_s += 0.1 * (time.monotonic() - job.submitted_at - self._mean_s)
            self.metrics.count(model.name, job)
            exchange.facts |= _facts(model, job)

    def _check_room(self, num_answers: int) -> None:
        most = MAX_RUNNING + self.settings.max_queue
        if num_answers > most:
            raise ApiError(
                400,
                f"the request asks for {num_answers:,} answers, and the server takes {most:,} at once. Ask for fewer, "
                "or start it with a larger --queue",
            )
        if self._num_answers + num_answers > most:
            seconds = min(max(math.ceil(self._mean_s), 1), _RETRY_AFTER_MAX_S)
            raise ApiError(
                429,
                f"{self._num_answers:,} answers are being made or wait, and the server takes {most:,} at once. "
                f"Try again in {seconds} s",
                code="queue_full",
                headers=[(b"retry-after", str(seconds).encode())],
            )

    def _timeout_s(self, exchange: Exchange, wanted_s: float | None) -> float:
        """How long a request may take: what its body or its header says, up to what the server allows."""
        header = exchange.header(b"x-request-timeout")
        if wanted_s is None and header:
            try:
                wanted_s = float(header)
            except ValueError:
                wanted_s = math.nan
            if not wanted_s > 0:
                raise ApiError(400, f"X-Request-Timeout is {header!r}, and must be a number of seconds above 0")
        return min(wanted_s or math.inf, self.settings.timeout_s)


@contextlib.contextmanager
def refused_as_request() -> Iterator[None]:
    """Tell a client what the library refuses."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise of_request(error) from error


async def _cancel_when_gone(exchange: Exchange, job: Job) -> None:
    await exchange.wait_until_gone()
    job.cancel(GoneError())


def deadline_passed() -> ApiError:
    """What a client is told at its deadline; its library must not ask for the same again."""
    return ApiError(
        408,
        "the request has taken as long as it may; ask for fewer tokens, or start the server with a longer --timeout",
        code="deadline_exceeded",
        headers=[(b"x-should-retry", b"false")],
    )


def _facts(model: ServedModel, job: Job) -> dict[str, object]:
    """What the log says of answers."""
    reasons = {answer.finish_reason or ("error" if answer.error else "abort") for answer in job.answers}
    first_s = None if job.first_at is None else round(job.first_at - job.submitted_at, 4)
    return {
        "model": model.name,
        "prompt_tokens": sum(answer.num_prompt for answer in job.answers if answer.elder is None),
        "cached_tokens": sum(answer.num_cached or 0 for answer in job.answers if answer.elder is None),
        "completion_tokens": sum(answer.num_drawn for answer in job.answers),
        "finish_reason": "+".join(sorted(reasons)),
        "first_token_s": first_s,
    }
