"""A server that speaks OpenAI's API from a script, or misbehaves as one is told to, on a port of this machine."""

import contextlib
import dataclasses
import json
import socket
import threading
import time

MODELS = {"object": "list", "data": [{"id": "tiny", "object": "model", "max_model_len": 256}]}


@dataclasses.dataclass
class Received:
    """A request: its first line, headers by lower-case name, and JSON, or None."""

    line: str
    headers: dict
    body: dict | None


class OpenAIServer:
    """Answers each chat by ``talk(connection, request)``; a context manager.

    Attributes:
        requests: all that came, in order.
        gone: is set once a client has closed its connection while an answer was being made.
    """

    def __init__(self, talk, models=MODELS):
        self.talk, self.models = talk, models
        self.requests = []
        self.gone = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(ConnectionError):
            request = _read(connection)
            self.requests.append(request)
            try:
                if "/models" in request.line:
                    if callable(self.models):
                        self.models(connection, request)
                    else:
                        send_json(connection, self.models)
                else:
                    self.talk(connection, request)
            except ConnectionError:
                self.gone.set()


def _read(connection):
    stream = connection.makefile("rb")
    line = stream.readline().decode().strip()
    headers = {}
    while field := stream.readline().decode().strip():
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    length = int(headers.get("content-length", 0))
    return Received(line, headers, json.loads(stream.read(length)) if length else None)


def send(connection, status, body, *headers):
    """Send a response, whole."""
    fields = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    connection.sendall("\r\n".join([*fields, "", ""]).encode() + body)


def send_json(connection, value, status="200 OK", *headers):
    """Send a response of JSON."""
    send(connection, status, json.dumps(value).encode(), "Content-Type: application/json", *headers)


def begin_stream(connection):
    """Begin a response of events that ends with the connection."""
    connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"
    )


def event(value):
    """One event."""
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


def chunk(text=None, reason=None, **more):
    """One event of a chat."""
    delta = {} if text is None else {"content": text}
    return event(
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} | more
    )


USAGE = {
    "prompt_tokens": 20,
    "completion_tokens": 3,
    "total_tokens": 23,
    "prompt_tokens_details": {"cached_tokens": 16},
}


def say(*texts, usage=USAGE, reason="stop", seconds=0.0):
    """A talk that streams these texts."""

    def talk(connection, request):
        begin_stream(connection)
        connection.sendall(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}))
        for text in texts:
            connection.sendall(b": still here\n\n" + chunk(text))
            time.sleep(seconds)
        connection.sendall(chunk(None, reason))
        if usage is not None:
            connection.sendall(event({"choices": [], "usage": usage}))
        connection.sendall(event("[DONE]"))

    return talk
