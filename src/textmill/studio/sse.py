"""Streams of the studio: named events, as they come, until they end or nobody listens any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import msgspec

from textmill.base.errors import TextmillError
from textmill.serve.api_error import ApiError, of_engine, of_request
from textmill.serve.events import PING
from textmill.serve.exchange import Exchange, GoneError

_SILENCE_S = 15.0
Event = tuple[str, Any]


def event(name: str, data: object) -> bytes:
    """A named event."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), msgspec.json.encode(data))


async def send(exchange: Exchange, events: AsyncGenerator[Event]) -> None:
    """Write events as they come; ``events`` is closed when they end, and at once when the client goes away.

    What goes wrong before the first of them has a status of its own; what goes wrong later is the last event.
    """
    gone = asyncio.ensure_future(exchange.wait_until_gone())
    try:
        async with contextlib.aclosing(_with_pings(events, gone)) as frames:
            async for frame in frames:
                if not exchange.status:
                    await exchange.begin_events()
                await exchange.send_events(frame)
    except GoneError:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if not exchange.status or isinstance(error, asyncio.CancelledError):
            raise
        body = msgspec.json.decode(told(error).to_json())
        await exchange.send_events(event("error", body))
    finally:
        gone.cancel()
    if not exchange.status:
        await exchange.begin_events()
    await exchange.send_events(b"", is_last=True)


def told(error: Exception) -> ApiError:
    """What the page is told of an error."""
    if isinstance(error, ApiError):
        return error
    return of_request(error) if isinstance(error, TextmillError) else of_engine(error)


async def _with_pings(events: AsyncGenerator[Event], gone: asyncio.Future[None]) -> AsyncGenerator[bytes]:
    following: asyncio.Future[Event] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(events))
            while not following.done():
                waiting = {following, gone}
                await asyncio.wait(waiting, timeout=_SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    raise GoneError
                if not following.done():
                    yield PING
            try:
                yield event(*following.result())
            except StopAsyncIteration:
                return
    finally:
        if following is not None and not following.done():
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                await following
        await events.aclose()


async def in_thread(events: Generator[Event]) -> AsyncGenerator[Event]:
    """Make events that take arithmetic beside the loop, each when the one before has been written."""
    try:
        while True:
            made = await asyncio.to_thread(next, events, None)
            if made is None:
                return
            yield made
    finally:
        # One that is still being made ends first.
        await asyncio.to_thread(_close, events)


def _close(events: Generator[Event]) -> None:
    while True:
        try:
            events.close()
        except ValueError:  # it is running, in the thread that was not waited for
            time.sleep(0.01)
        else:
            return
