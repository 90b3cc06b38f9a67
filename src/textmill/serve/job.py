"""The answers to one request, from their submission to the last piece that its client gets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from textmill.infer.answer import Answer
from textmill.infer.batcher import Batcher
from textmill.infer.request import Delta
from textmill.serve.exchange import GoneError

Piece = tuple[int, Delta]
"""Of which answer, and what came."""

# Pieces that a client has not read, before it is taken to be reading no more: what lies in the system's own buffers and
# in the connection's comes on top of it.
_PIECES_UNREAD_MAX = 2048


class SlowReaderError(Exception):
    """The client does not read what it asked for."""


class DeadlineError(Exception):
    """The request has taken as long as it may."""


class Job:
    """Followed by the engine's thread, which collects, and by the request's task, which takes.

    Attributes:
        batcher: that makes the answers.
        answers: in the order of their indices.
        tells_all: whether pieces are wanted as they come, and not all at the end.
        submitted_at, started_at, first_at, ended_at: by ``time.monotonic``; when the answers were handed in, the first
            was scheduled, the first token came, the last one did.
        gaps_s: times between tokens of one answer, in seconds.
    """

    def __init__(self, batcher: Batcher, answers: Sequence[Answer], *, tells_all: bool) -> None:
        self.batcher = batcher
        self.answers = answers
        self.tells_all = tells_all
        self.submitted_at = time.monotonic()
        self.started_at: float | None = None
        self.first_at: float | None = None
        self.ended_at: float | None = None
        self.gaps_s: list[float] = []
        self._last_at = [0.0] * len(answers)
        self._unfinished = list(enumerate(answers))
        self._collected: list[Piece] = []
        self._failure: BaseException | None = None
        # What follows belongs to the event loop's thread.
        self._untaken: list[Piece] = []
        self._is_ended = False
        self._cancelled: Exception | None = None
        self._on_cancel: Callable[[], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    # The engine's thread.

    def collect(self, step_began: float, now: float) -> list[Piece] | None:
        """Gather what a step brought; the pieces to hand over now, or None where there is nothing to tell."""
        if self.started_at is None and any(answer.num_cached is not None for answer in self.answers):
            self.started_at = step_began
        has_finished = False
        for index, answer in self._unfinished:
            if not answer.has_news:
                continue
            try:
                before = len(self._collected)
                self._collected.extend((index, delta) for delta in answer.take_deltas())
                self._note_times(index, sum(len(delta.ids) for _, delta in self._collected[before:]), now)
            except Exception as error:  # noqa: BLE001  whatever ended the answer is the request's to tell
                self._failure = self._failure or error
            has_finished |= answer.is_finished
        if has_finished:
            self._unfinished = [(index, answer) for index, answer in self._unfinished if not answer.is_finished]
            if not self._unfinished:
                self.ended_at = now
        if self.ended_at is None and not (self.tells_all and self._collected):
            return None
        pieces, self._collected = self._collected, []
        return pieces

    def fail(self, error: BaseException) -> None:
        """End it with an error that is no single answer's; ``collect`` then finds it ended."""
        self._failure = self._failure or error
        self.abort()
        for answer in self.answers:  # also those that the batcher has lost
            answer.finish("abort")

    def abort(self) -> None:
        """End the answers before their time; any thread may."""
        for answer in self.answers:
            self.batcher.abort(answer)

    def _note_times(self, index: int, num_tokens: int, now: float) -> None:
        if not num_tokens:
            return
        if self.first_at is None:
            self.first_at = now
        if self._last_at[index]:
            gap = (now - self._last_at[index]) / num_tokens
            self.gaps_s.extend([gap] * num_tokens)
        self._last_at[index] = now

    # The event loop's thread.

    def hand_over(self, pieces: list[Piece], *, is_end: bool) -> None:
        """Give the request's task what was collected."""
        self._untaken += pieces
        self._is_ended |= is_end
        if len(self._untaken) > _PIECES_UNREAD_MAX and self.tells_all:
            self.cancel(SlowReaderError())
        self._wake()

    def cancel(self, reason: Exception) -> None:
        """End it because nobody waits for it any more, or may: ``take`` raises the reason."""
        if self._cancelled is not None or (self._is_ended and not self.tells_all):
            return
        self._cancelled = reason
        self.abort()
        if self._on_cancel is not None and not isinstance(reason, GoneError):
            self._on_cancel()
        self._wake()

    def on_cancel(self, call: Callable[[], None]) -> None:
        """Have a function called when it is cancelled: the task may be waiting for the client, not for the engine."""
        self._on_cancel = call

    async def take(self, silence_s: float | None = None) -> list[Piece] | None:
        """Wait for pieces and take them; an empty list at the end, None after so many seconds without one.

        Raises what it was cancelled for, or what went wrong in the engine.
        """
        while not self._untaken and not self._is_ended and self._cancelled is None:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(silence_s):
                    await self._waiter
            except TimeoutError:
                return None
            finally:
                self._waiter = None
        if self._cancelled is not None:
            raise self._cancelled
        pieces, self._untaken = self._untaken, []
        if self._failure is not None and self._is_ended:
            raise self._failure
        return pieces

    @property
    def is_over(self) -> bool:
        """Whether all has been taken."""
        return self._is_ended and not self._untaken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
