"""A server in a process of its own that is looked at from outside: bytes to and from it, its memory, what it logs."""

import contextlib
import json
import re
import socket
from pathlib import Path

from serve.served import Served


class LiveServer(Served):
    """A running server; a context manager, at whose end it must leave as it is told, and have met no bug."""

    def __init__(self, model, *options, keys=()):
        super().__init__(model, *options, environment={"TEXTMILL_API_KEYS": ",".join(keys)} if keys else None)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            code, lines, errors = self.stop()
            if kind is None:
                assert code == 143, errors
                assert [line for line in lines if line["event"] in ("bug", "engine_failed")] == []
        finally:
            self.close()

    def get(self, path):
        """The status and the body of a GET."""
        return split(self.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()))

    def post(self, path, body):
        """The status and the body of a POST of JSON, or of bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        return split(self.raw(head.encode() + content))

    def raw(self, request, seconds=60, *, is_all=False):
        """Send bytes and read until the server closes the connection; what it sent. ``is_all`` says that no more come.

        Raises:
            TimeoutError: it does not.
        """
        with socket.create_connection((self.host, self.port), timeout=seconds) as connection:
            with contextlib.suppress(ConnectionError):  # a server that refuses may not read all
                connection.sendall(request)
                if is_all:
                    connection.shutdown(socket.SHUT_WR)
            received = bytearray()
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(1 << 16):
                    received += piece
            return bytes(received)

    def resident_bytes(self):
        """Memory that its process holds."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        (kib,) = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        return int(kib) << 10


def split(response):
    """The status and the body of a response, 0 where there is none."""
    head, _, body = response.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3})", head)
    if found is None:
        return 0, response
    if b"transfer-encoding: chunked" in head.lower():
        body = unchunked(body)
    return int(found[1]), body


def unchunked(body):
    """The content of a body that came in chunks."""
    content = bytearray()
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size or b"0", 16)
        content += body[:count]
        body = body[count + 2 :]
        if count == 0:
            break
    return bytes(content)
