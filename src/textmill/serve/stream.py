"""A job's pieces to its client, as they come."""

from __future__ import annotations

from collections.abc import Callable

from textmill.infer.request import Delta
from textmill.serve.api_error import ApiError, of_engine
from textmill.serve.events import DONE, PING, error_event
from textmill.serve.exchange import Exchange, GoneError
from textmill.serve.job import DeadlineError, Job, Piece, SlowReaderError
from textmill.serve.service import deadline_passed
from textmill.serve.wire_responses import FinishReason

# Proxies close connections that are silent for a minute.
_SILENCE_S = 15.0


async def send_stream(
    exchange: Exchange, job: Job, chunks_of: Callable[[list[Piece]], bytes], last_chunks: Callable[[], bytes]
) -> None:
    """Write a response of events.

    It is begun with the first piece, so that what goes wrong before has a status of its own; or after some seconds, so
    that nobody takes the connection for dead.

    Args:
        exchange: whose response it is.
        job: what is made.
        chunks_of: makes events of pieces, none of some.
        last_chunks: makes those that come when all is told.
    """
    try:
        is_over = False
        while not is_over:
            pieces = await job.take(_SILENCE_S)
            is_over = job.is_over
            events = PING if pieces is None else chunks_of(pieces)
            if is_over:
                events += last_chunks() + DONE
            if not exchange.status:
                await exchange.begin_events()
            if events:
                await exchange.send_events(events, is_last=is_over)
    except GoneError:
        raise
    except Exception as error:
        told = _told(error)
        exchange.note_error(told)
        if not exchange.status:
            raise told from error
        await exchange.send_events(error_event(told.to_json()) + DONE, is_last=True)


def _told(error: Exception) -> ApiError:
    match error:
        case ApiError():
            return error
        case DeadlineError():
            return deadline_passed()
        case SlowReaderError():
            return ApiError(408, "the stream was not read for too long", code="slow_reader")
        case _:
            return of_engine(error)


def by_answer(pieces: list[Piece]) -> dict[int, list[Delta]]:
    """The pieces of each answer, by its index."""
    deltas: dict[int, list[Delta]] = {}
    for index, delta in pieces:
        deltas.setdefault(index, []).append(delta)
    return deltas


def reason_of(delta: Delta) -> FinishReason:
    """Why an answer ended whose last piece this is; one that was given up is told by an error instead."""
    return "stop" if delta.finish_reason == "stop" else "length"


async def take_whole(job: Job) -> list[Piece]:
    """Wait for all of a job's pieces.

    Raises:
        ApiError: the deadline has passed, or the engine failed.
        GoneError: the client went away.
    """
    try:
        pieces: list[Piece] = []
        while not job.is_over:
            pieces += await job.take() or []
    except GoneError:
        raise
    except Exception as error:
        raise _told(error) from error
    return pieces
