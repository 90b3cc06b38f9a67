"""A server as it is run: ``textmill serve`` in a process of its own, on a free port of this machine."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

_PROGRAM = "import sys; from textmill.cli import main; sys.exit(main(sys.argv[1:]))"


class LiveServer:
    """A running server; a context manager, at whose end it must leave as it is told, and have met no bug.

    Attributes:
        port, url: where it listens.
        pid: of its process.
    """

    def __init__(self, model, *options, keys=()):
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the server
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TEXTMILL_API_KEYS": ",".join(keys)}
        command = [sys.executable, "-c", _PROGRAM, "serve", str(model), "--port", "0", *options]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, stdin=subprocess.DEVNULL, env=environment, text=True
        )
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://"), self.log()
        self.port = int(self.url.rpartition(":")[2])
        self.pid = self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code = self.stop()
        log = self.log()
        self._log.close()
        self._process.stdout.close()
        if kind is None:
            assert code == 143, log
            assert [line for line in log.splitlines() if '"event":"bug"' in line or "engine_failed" in line] == []

    def stop(self):
        """End it as an operator does; returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def log(self):
        """What it wrote to standard error so far."""
        self._log.seek(0)
        return self._log.read()

    def get(self, path):
        """The status and the body of a GET."""
        return self.exchange(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())

    def post(self, path, body):
        """The status and the body of a POST of JSON, or of bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        return self.exchange(head.encode() + content)

    def exchange(self, request):
        """Send bytes; returns the status of the response and its body."""
        status, body = split(self.raw(request))
        return status, body

    def raw(self, request, seconds=20, *, is_all=False):
        """Send bytes and read until the server closes the connection; what it sent. ``is_all`` says that no more come.

        Raises:
            TimeoutError: it does not.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            with contextlib.suppress(ConnectionError):  # a server that refuses may not read all
                connection.sendall(request)
                if is_all:
                    connection.shutdown(socket.SHUT_WR)
            received = bytearray()
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(1 << 16):
                    received += piece
            return bytes(received)

    def metric(self, name):
        """The sum of a metric's samples."""
        status, body = self.get("/metrics")
        assert status == 200
        found = re.findall(rf"^vllm:{name}(?:_total)?(?:{{.*}})? (\S+)$", body.decode(), re.MULTILINE)
        assert found, f"there is no metric {name}"
        return sum(map(float, found))

    def resident_bytes(self):
        """Memory that its process holds."""
        (line,) = [
            line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith("VmRSS")
        ]
        return int(line.split()[1]) << 10


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
