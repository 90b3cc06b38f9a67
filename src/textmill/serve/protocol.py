"""uvicorn's HTTP connection, with what a public server needs besides: limits of the head, and a way to cut it off."""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from textmill.serve.api_error import ApiError
from textmill.serve.exchange import CONNECTION

# The request line and the headers together; the parser itself has no limit.
_HEAD_BYTES = 64 << 10
_HEAD_S = 30.0
# Headers that say that a body follows, and how long it is.
_BODY = (b"content-length", b"transfer-encoding")


class Connection(HttpToolsProtocol):
    """A client's connection.

    A head that is too long, or that does not arrive, ends it; the parser's own refusals get the body that OpenAI's
    clients read.
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._head_bytes = 0
        self._in_head = True
        self._body_follows = False
        self._answered: RequestResponseCycle | None = None
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first head."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(_HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for no head any more, and tell the request that is being answered; uvicorn tells the last one only."""
        self._stop_timer()
        super().connection_lost(exc)
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the head has become too long."""
        self._unset_keepalive_if_required()
        if self._in_head:
            if self._head_timer is None:
                self._head_timer = self.loop.call_later(_HEAD_S, self._head_is_late)
            self._head_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_body(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("what came is no HTTP")
        if self._in_head and self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
            self._refuse(ApiError(431, f"the request's head has more than {_HEAD_BYTES:,} bytes"))

    def on_headers_complete(self) -> None:
        """The head is there: the application may begin."""
        self._in_head = False
        self._body_follows = self.parser.should_upgrade() and any(name in _BODY for name, _ in self.headers)
        self._stop_timer()
        self.scope["extensions"] = {CONNECTION: self}  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The next bytes are another request's head."""
        if self._body_follows:
            return
        super().on_message_complete()
        self._in_head, self._head_bytes = True, 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(ApiError(400, msg))

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection that was idle; with what its client never read."""
        if self.transport.get_write_buffer_size():
            self.break_off()
        else:
            super().timeout_keep_alive_handler()

    def break_off(self) -> None:
        """Close at once, whatever is still to be written."""
        self.transport.abort()

    def _read_body(self, data: bytes) -> None:
        """Go on as if no other protocol had been asked for: Java's client asks for HTTP/2 with every request.

        The parser takes what follows such a head for the other protocol's, so another one reads the body; the
        connection is closed after the response.
        """
        if not self._body_follows:
            return
        self._body_follows = False
        self.cycle.keep_alive = False
        self.parser = httptools.HttpRequestParser(_BodyOnly(self))
        head = [name + b": " + value for name, value in self.headers if name in _BODY]
        self.data_received(b"POST / HTTP/1.1\r\n" + b"\r\n".join(head) + b"\r\n\r\n" + data)

    def _refuse(self, error: ApiError) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.break_off()  # a response is being written, and this one must not get into it
            return
        body = error.to_json()
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.status] + head + body)
        self.transport.close()

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._head_bytes:
            self._refuse(ApiError(408, f"the request's head did not arrive within {_HEAD_S:.0f} seconds"))
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _BodyOnly:
    """What a parser calls that reads the body of a request whose head another one has read."""

    def __init__(self, connection: Connection) -> None:
        self.on_body = connection.on_body
        self.on_message_complete = connection.on_message_complete
