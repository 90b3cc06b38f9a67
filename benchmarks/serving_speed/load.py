"""The clients: raw sockets that note when bytes come and read them when all is over, as the cores are the server's.

One thread waits on all sockets at once. What a response says (its status, pieces of text, counts of tokens) is read
after the last byte of the last one.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

_SILENCE_S = 600.0
_RECEIVED = 1 << 16


@dataclass
class Answer:
    """A response: when its request was sent, and what came when.

    Attributes:
        sent: seconds of ``time.perf_counter``.
        pieces: bytes with the time of their coming.
    """

    sent: float
    pieces: list[tuple[float, bytes]] = field(default_factory=list)

    @property
    def ended(self) -> float:
        """When the last byte came."""
        return self.pieces[-1][0]

    @property
    def first_token_s(self) -> float:
        """How long the first piece of text took."""
        return next(at for at, chunk in self._chunks() if _text_of(chunk)) - self.sent

    def counts(self) -> tuple[int | None, int]:
        """Tokens of the prompt, where the server tells them, and of the answer, or else its pieces."""
        num_pieces, usage = 0, {}
        for _, chunk in self._chunks():
            num_pieces += bool(_text_of(chunk))
            usage = chunk.get("usage") or usage
        return usage.get("prompt_tokens"), usage.get("completion_tokens", num_pieces)

    def _chunks(self) -> Iterator[tuple[float, dict[str, Any]]]:
        """The events of a stream, or the one object of a whole answer, with the time when the end of each had come."""
        data = b"".join(piece for _, piece in self.pieces)
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a server answers {data[:500].decode(errors='replace')}")
        if b"text/event-stream" not in head.lower():
            begin, end = body.index(b"{"), body.rindex(b"}") + 1
            yield self.ended, json.loads(body[begin:end])
            return
        ends = _ends(self.pieces)
        place = len(head) + 4
        while (begin := data.find(b"data: {", place)) >= 0:
            place = data.index(b"\n", begin)
            yield next(at for end, at in ends if end >= place), json.loads(data[begin + 6 : place])


def _ends(pieces: Sequence[tuple[float, bytes]]) -> list[tuple[int, float]]:
    ends, place = [], 0
    for at, piece in pieces:
        place += len(piece)
        ends.append((place, at))
    return ends


def _text_of(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    said = choices[0].get("delta") or choices[0].get("message") or {}
    return said.get("content") or ""


def ask(port: int, body: dict[str, Any]) -> Answer:
    """Put one question, and wait for the end of its answer."""
    (answer,) = ask_all(port, [body], 1)
    return answer


def ask_all(port: int, bodies: Sequence[dict[str, Any]], num_clients: int) -> list[Answer]:
    """Put all questions, as many at once as there are clients, each on a connection of its own.

    Raises:
        RuntimeError: a server said nothing for minutes.
    """
    waiting = [_request(port, body) for body in reversed(bodies)]
    answers: list[Answer] = []
    with selectors.DefaultSelector() as selector:
        answers += [_begin(selector, port, waiting.pop()) for _ in range(min(num_clients, len(waiting)))]
        while selector.get_map():
            ready = selector.select(_SILENCE_S)
            now = time.perf_counter()
            if not ready:
                raise RuntimeError(f"the server at port {port} said nothing for {_SILENCE_S:g} s")
            for key, _ in ready:
                piece = key.fileobj.recv(_RECEIVED)  # pyrefly: ignore
                if piece:
                    key.data.pieces.append((now, piece))
                    continue
                selector.unregister(key.fileobj)
                key.fileobj.close()  # pyrefly: ignore
                if waiting:
                    answers.append(_begin(selector, port, waiting.pop()))
    return answers


def _begin(selector: selectors.BaseSelector, port: int, request: bytes) -> Answer:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    answer = Answer(time.perf_counter())
    connection.sendall(request)
    selector.register(connection, selectors.EVENT_READ, answer)
    return answer


def _request(port: int, body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + content
