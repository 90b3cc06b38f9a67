"""One request to a server over HTTP and what comes back, whatever the server is; with Python's own client.

Nothing else is needed: an answer is read line by line from one connection, which is closed to stop it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from textmill import __version__
from textmill.base.errors import ConfigError, TextmillError
from textmill.cli.output import for_terminal
from textmill.cli.server_address import KEY_VARIABLES, ServerAddress

_CONNECT_S = 10.0
_LINE_BYTES_MAX = 16 << 20
_BODY_BYTES_MAX = 64 << 20
_SHOWN_MAX = 500


class ServerError(TextmillError):
    """A server that cannot be reached, refuses, fails, or does not speak the protocol.

    Attributes:
        status: of HTTP, or 0 where there was none.
        code: what the server calls the error, or "".
    """

    def __init__(self, message: str, status: int = 0, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Exchange:
    """A request under way; as a context manager it closes the connection, by which a server knows to stop."""

    def __init__(
        self, address: ServerAddress, call: str, body: dict[str, Any] | None = None, *, silence_s: float
    ) -> None:
        """Send a GET, or with a body a POST, to ``call``, as ``/models``; ``silence_s`` is how long to wait for more.

        Raises:
            ServerError: nothing came back, or a status other than 200.
            ConfigError: the server refuses the key.
        """
        self._address = address
        self._call = call
        self._silence_s = silence_s
        self._response: http.client.HTTPResponse | None = None
        self._socket: socket.socket | None = None  # the connection forgets its own where the server ends it
        make = http.client.HTTPSConnection if address.is_tls else http.client.HTTPConnection
        self._connection = make(address.host, address.port, timeout=min(_CONNECT_S, silence_s))
        try:
            with self._telling():
                self._send(body)
                assert self._response is not None
                if self._response.status != http.client.OK:
                    raise self._refusal(self._response)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Exchange:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, whatever is still to come."""
        with contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            if self._response is not None:
                self._response.close()
            self._connection.close()

    @property
    def is_stream(self) -> bool:
        """Whether events come, and no whole answer."""
        assert self._response is not None
        return self._response.headers.get_content_type() == "text/event-stream"

    def whole(self) -> dict[str, Any]:
        """Read the answer, which is one JSON object."""
        assert self._response is not None
        with self._telling():
            return self._object(self._response.read(_BODY_BYTES_MAX))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of a stream until it says that it is done, or ends.

        Raises:
            ServerError: what comes is no stream of events, or it names an error.
        """
        assert self._response is not None
        data: list[bytes] = []
        while True:
            with self._telling():
                line = self._response.readline(_LINE_BYTES_MAX)
            if len(line) == _LINE_BYTES_MAX:
                raise self._odd("sends a line of more than 16 MiB")
            name, _, value = line.rstrip(b"\r\n").partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" "))
            elif not line.strip() and data:
                text, data = b"\n".join(data), []
                if text.strip() == b"[DONE]":
                    return
                yield self._object(text)
            if not line:
                return

    def _send(self, body: dict[str, Any] | None) -> None:
        headers = {"Accept": "text/event-stream, application/json", "User-Agent": f"textmill/{__version__}"}
        if self._address.key is not None:
            headers["Authorization"] = f"Bearer {self._address.key}"
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body).encode()
        self._connection.connect()
        self._socket = self._connection.sock
        self._socket.settimeout(self._silence_s)
        self._connection.request("GET" if body is None else "POST", self._address.path + self._call, content, headers)
        self._response = self._connection.getresponse()

    def _object(self, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._odd(f"answers {_shown(text)}, which is no JSON") from error
        if not isinstance(value, dict):
            raise self._odd(f"answers {_shown(text)}, which is no JSON object")
        if value.get("error"):
            message, code = _told(value)
            raise ServerError(f"{self._address.root} failed: {message}", code=code)
        return value

    def _odd(self, what: str) -> ServerError:
        return ServerError(f"{self._address.root} {what}. Does it speak OpenAI's API under this path?")

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in words of the user's what is wrong with a connection."""
        root = self._address.root
        try:
            yield
        except TimeoutError as error:
            if self._socket is None:
                raise ServerError(f"{root} cannot be reached: nothing answered in {_CONNECT_S:g} s") from error
            raise ServerError(
                f"{root} said nothing for {self._silence_s:g} s. It hangs, or is slow: --timeout waits longer"
            ) from error
        except ConnectionRefusedError as error:
            start = f"textmill serve MODEL --port {self._address.port} starts one"
            where = "" if self._address.is_this_machine else f" on {self._address.host}"
            raise ServerError(f"no server runs at {root} (connection refused): {start}{where}") from error
        except socket.gaierror as error:
            raise ServerError(f'there is no machine "{self._address.host}": {error.strerror}') from error
        except ssl.SSLCertVerificationError as error:
            raise ServerError(f"{root} is not who it says it is: {error.verify_message}") from error
        except ssl.SSLError as error:
            raise ServerError(f"{root} speaks no TLS; with http:// instead of https:// it may") from error
        except http.client.RemoteDisconnected as error:
            raise ServerError(f"{root} ended the connection without an answer") from error
        except http.client.IncompleteRead as error:
            raise ServerError(f"{root} cut the answer off. Try again, or look at its log") from error
        except http.client.HTTPException as error:
            raise ServerError(f"what answers at {root} is no web server: {_shown(repr(error).encode())}") from error
        except OSError as error:
            raise ServerError(f"the connection to {root} broke: {error.strerror or error}") from error

    def _refusal(self, response: http.client.HTTPResponse) -> TextmillError:
        status, root = response.status, self._address.root
        if 300 <= status < 400:
            place = for_terminal(response.getheader("Location", "elsewhere"))[:_SHOWN_MAX]
            return ServerError(f"{root} sends on to {place}: give that address", status)
        body = response.read(1 << 16)
        try:
            message, code = _told(json.loads(body))
        except (ValueError, RecursionError):
            message, code = _shown(body), ""
        if status in (401, 403):
            state = "this key" if self._address.key else "requests without a key"
            return ConfigError(f"{root} refuses {state} ({status}: {message}). Set {KEY_VARIABLES[0]} to one it knows")
        if status in (429, 503):
            wait = response.getheader("Retry-After", "")
            again = f" in {wait} s" if wait.isascii() and wait.isdigit() else " later"
            return ServerError(f"{root} is busy ({status}: {message}). Try again{again}", status, code)
        if status in (404, 405):
            what = f"{root} knows no {self._call}, or no such model ({status}: {message})"
            return ServerError(f"{what}. Is the path right? Most servers have /v1", status, code)
        verb = "failed" if status >= 500 else "refused"
        return ServerError(f"{root} {verb} ({status}): {message}", status, code)


def _told(value: Any) -> tuple[str, str]:
    """What a server says of an error, and its code, in the forms that there are."""
    if isinstance(value, dict):
        error = value.get("error") or value.get("detail") or value
        if isinstance(error, dict):
            code = error.get("code") or error.get("type")
            return _shown(str(error.get("message") or error).encode(errors="replace")), str(code or "")
        return _shown(str(error).encode(errors="replace")), ""
    return _shown(str(value).encode(errors="replace")), ""


def _shown(text: bytes) -> str:
    """A piece of what a server sent, safe for a terminal and on one line."""
    line = " ".join(for_terminal(text[: 4 * _SHOWN_MAX].decode(errors="replace")).split())
    return (line if len(line) <= _SHOWN_MAX else f"{line[:_SHOWN_MAX]} ...") or "nothing"
