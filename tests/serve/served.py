"""A server in a process of its own, as a user starts it, and raw connections to it."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from urllib.parse import urlsplit

HELLO = [{"role": "user", "content": "the quick brown fox"}]
CHAT = "/v1/chat/completions"
# Long enough to be interrupted: the tiny model makes some thousand tokens a second.
LONG = {"max_tokens": 100_000, "ignore_eos": True}
CONTEXT = 1 << 15


class Served:
    """``textmill serve`` of a model, ready to answer.

    Attributes:
        address: where it listens.
        process: its process.
    """

    def __init__(self, *arguments, port=0, environment=None):
        options = ["--port", str(port), "--threads", "1"]
        command = [sys.executable, "-m", "textmill", "serve", *map(str, arguments), *options]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  it lives as long as the server
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | (environment or {}),
        )
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            errors = self.stop()[2]
            self.close()
            raise RuntimeError(errors)
        parts = urlsplit(self.address)
        self.host, self.port = parts.hostname, parts.port

    def connect(self, *, receive_bytes=None):
        sock = socket.socket()
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(60)
        sock.connect((self.host, self.port))
        return sock

    def request(self, method, path, body=None, headers=None):
        """A whole exchange: the status, the headers in small letters, and the body, as JSON where it is."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        with contextlib.closing(connection):
            content = json.dumps(body).encode() if isinstance(body, dict) else body
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            data = response.read()
            told = {name.lower(): value for name, value in response.getheaders()}
        is_json = told.get("content-type") == "application/json"
        return response.status, told, json.loads(data) if is_json else data.decode()

    def chat(self, **options):
        status, _, body = self.request("POST", CHAT, chat_body(**options))
        assert status == 200, body
        return body

    def post_raw(self, body, path=CHAT):
        """Send a request and return the connection, without reading anything."""
        sock = self.connect()
        sock.sendall(http_request(body, path))
        return sock

    def metric(self, name):
        """The sum of a metric's samples."""
        _, _, text = self.request("GET", "/metrics")
        lines = [line for line in text.splitlines() if line.startswith((f"vllm:{name}{{", f"vllm:{name} "))]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    def wait_for(self, condition, what, seconds=120):
        """Wait for something that is certain to come; the limit ends a hang."""
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, f"waited {seconds} s for {what}"
            time.sleep(0.02)

    def stop(self, number=signal.SIGTERM):
        """Stop it and return its exit code and the lines of its log."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)
        self._errors.seek(0)
        errors = self._errors.read()
        lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
        return self.process.returncode, lines, errors

    def close(self):
        """End it if it is still there, and forget its log."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._errors.close()


def chat_body(**options):
    return {"messages": HELLO, "temperature": 0, "max_tokens": 8} | options


def http_request(body, path=CHAT):
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return f"{head}\r\n\r\n".encode() + data


@contextlib.contextmanager
def served(*arguments, port=0, environment=None):
    server = Served(*arguments, port=port, environment=environment)
    try:
        yield server
    finally:
        server.close()


def read_response(sock):
    """One response with a length: its status and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(
        next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")).split(b":")[1]
    )
    while len(body) < length:
        body += sock.recv(65536)
    return int(head.split()[1]), body


def idle(server):
    """Whether it makes nothing, and nothing waits."""
    return server.metric("num_requests_running") == 0 and server.metric("num_requests_waiting") == 0
