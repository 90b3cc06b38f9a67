"""One HTTP request and the response to it, over ASGI."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from textmill.serve.api_error import ApiError, Header

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

# A body that takes longer to arrive is one that was never meant to end.
_BODY_S = 60.0
# So a client that says nothing of the length cannot make us wait for what it may send for ever.
_DISCARDED_BYTES = 1 << 20
_DISCARD_S = 2.0
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
_CLOSE: Header = (b"connection", b"close")
_JSON: Header = (b"content-type", b"application/json")
_EVENTS: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events back
)
CONNECTION = "textmill.connection"
"""Where the scope's ``extensions`` keep the connection, for ``break_off``."""


class GoneError(Exception):
    """The client has closed the connection."""


class Exchange:
    """What a route gets: the request to read, and the response to write.

    Attributes:
        id: of the request, in the response's ``X-Request-Id`` and in the log.
        began, created: when it came, by ``time.monotonic`` and in seconds since 1970.
        client: whose it is, where clients take turns.
        status: of the response; 0 until it is begun.
        facts: what the log says of it besides.
        logs_text: whether prompts and answers belong there.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, *, request_id: str, logs_text: bool = False) -> None:
        self.id = request_id
        self.logs_text = logs_text
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.began = time.monotonic()
        self.created = int(time.time())
        self.client = ""
        self.status = 0
        self.facts: dict[str, Any] = {}
        self.extra_headers: list[Header] = [(b"x-request-id", request_id.encode("latin-1"))]
        self._scope = scope
        self._receive = receive
        self._send = send
        self._body_is_read = False
        self._is_writing = False

    @property
    def peer(self) -> str:
        """The address that the request came from."""
        client = self._scope.get("client")
        return client[0] if client else ""

    def headers(self, name: bytes) -> list[bytes]:
        """All values of a header, its name in small letters."""
        return [value for key, value in self._scope["headers"] if key == name]

    def header(self, name: bytes) -> str:
        """The value of a header, the last where there are several; empty where there is none."""
        values = self.headers(name)
        return values[-1].decode("latin-1") if values else ""

    async def read_json(self, kind: type[T], most_bytes: int) -> T:
        """Read the body as JSON of a type.

        Raises:
            ApiError: it is too large, takes too long, is no JSON, or is not of the type.
            GoneError: the client went away.
        """
        body = await self._read_body(most_bytes)
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError as error:
            message = str(error)
            param = message.rpartition(" - at `$.")[2].rstrip("`") if " - at `$." in message else None
            raise ApiError(400, f"the request's body cannot be used: {message}", param=param) from error
        except (msgspec.DecodeError, UnicodeError, ValueError) as error:
            raise ApiError(400, f"the request's body is not JSON: {error}", code="invalid_json") from error
        except RecursionError as error:
            raise ApiError(400, "the request's body is nested too deep", code="invalid_json") from error

    async def _read_body(self, most_bytes: int) -> bytes:
        length = self.header(b"content-length")
        if length.isdecimal() and int(length[:20]) > most_bytes:
            raise _too_large(length[:20], most_bytes)
        body = bytearray()
        try:
            async with asyncio.timeout(_BODY_S):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise GoneError
                    body += message.get("body", b"")
                    if len(body) > most_bytes:
                        raise _too_large(f"{len(body):,}", most_bytes)
                    if not message.get("more_body", False):
                        break
        except TimeoutError as error:
            raise ApiError(408, f"the request's body did not arrive within {_BODY_S:.0f} seconds") from error
        self._body_is_read = True
        return bytes(body)

    def note_text(self, index: int, text: str) -> None:
        """Add to what the log says of an answer."""
        texts: dict[int, str] = self.facts.setdefault("texts", {})
        texts[index] = texts.get(index, "") + text

    def note_error(self, error: ApiError) -> None:
        """Have the log say what went wrong; the words of a refusal may quote what was asked."""
        quotes = error.status == 400 and not self.logs_text
        self.facts["error"] = (error.code or error.param or "invalid_request") if quotes else error.message

    async def wait_until_gone(self) -> None:
        """Return when the client has closed the connection; its body must have been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def respond(self, status: int, body: bytes, headers: Iterable[Header] = (_JSON,)) -> None:
        """Write a whole response."""
        await self._discard_body()
        await self._start(status, [*headers, (b"content-length", str(len(body)).encode())])
        await self._send({"type": "http.response.body", "body": body})

    async def respond_json(self, value: object) -> None:
        """Write a value as the whole response."""
        await self.respond(200, msgspec.json.encode(value))

    async def respond_error(self, error: ApiError) -> None:
        """Write an error as the whole response."""
        await self.respond(error.status, error.to_json(), [_JSON, *error.headers])

    async def begin_events(self) -> None:
        """Begin a response of server-sent events."""
        await self._start(200, _EVENTS)

    async def send_events(self, events: bytes, *, is_last: bool = False) -> None:
        """Write some of them; waits while the client does not read."""
        self._is_writing = True
        await self._send({"type": "http.response.body", "body": events, "more_body": not is_last})
        self._is_writing = False

    def break_off_if_stuck(self) -> None:
        """Close the connection if the client is being waited for, who does not read."""
        if self._is_writing:
            self.break_off()

    def break_off(self) -> None:
        """Close the connection at once, and forget what the client has not read of it."""
        connection = self._scope.get("extensions", {}).get(CONNECTION)
        if connection is not None:
            connection.break_off()

    async def _discard_body(self) -> None:
        """Take what a refused request still sends, if that is little and comes soon.

        A connection that is closed on bytes nobody has read is reset, and the client may never see why. One that waits
        to be told to go on sends nothing before that.
        """
        if self._body_is_read or self.method in _WITHOUT_BODY or self.header(b"expect"):
            return
        length = self.header(b"content-length")
        if length.isdecimal() and int(length[:20]) > _DISCARDED_BYTES:
            return
        num_bytes = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_S):
                while num_bytes <= _DISCARDED_BYTES:
                    message = await self._receive()
                    num_bytes += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        return

    async def _start(self, status: int, headers: Iterable[Header]) -> None:
        self.status = status
        # What is left of a body would be taken for the next request.
        close = () if self._body_is_read or self.method in _WITHOUT_BODY else (_CLOSE,)
        await self._send(
            {"type": "http.response.start", "status": status, "headers": [*headers, *self.extra_headers, *close]}
        )


def _too_large(length: str, most_bytes: int) -> ApiError:
    return ApiError(
        413,
        f"the request's body has {length} bytes, and the server takes {most_bytes:,}. Send less, or start it with a "
        "larger --max-body",
        code="request_too_large",
    )
