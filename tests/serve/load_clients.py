"""Clients that come all at once and behave as they please; each tells what became of its request.

What a client asks is one of some ``Question``s, whose answers are known from the model alone.
"""

import asyncio
import contextlib
import dataclasses
import json
import random
import socket
import struct

from serve.hostile_bodies import GOOD, fixed
from serve.live_server import unchunked

_WORDS = ("the", "quick", "brown", "fox", "jumps", "over", "lazy", "dog", "seven", "wizards", "box", "é", "語", "\n")
_SILENCE_S = 60


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked, and the text that the model gives by itself.

    Attributes:
        path, body: of the request, without ``stream``.
        text: of each answer, by its index.
    """

    path: str
    body: dict
    text: tuple


def questions(lm, count, seed):
    """Ask the model itself: greedy and seeded, chats and completions, several answers at once."""
    rng = random.Random(seed)
    return [_question(lm, rng) for _ in range(count)]


def _question(lm, rng):
    said = " ".join(rng.choices(_WORDS, k=rng.randint(1, 60)))
    options = {"max_tokens": rng.randint(1, 60), "temperature": rng.choice([0, 0, 1.5])}
    if options["temperature"]:
        options |= {"seed": rng.randint(0, 9), "n": rng.choice([1, 1, 3]), "top_p": rng.choice([0.5, 1])}
    if rng.random() < 0.3:
        options["stop"] = rng.choice(_WORDS)
    if rng.random() < 0.2:
        options["repetition_penalty"] = 1.3
    if rng.random() < 0.5:
        messages = [{"role": "user", "content": said}]
        made = lm.chat(messages, **options)
        return Question("/v1/chat/completions", {"messages": messages} | options, _texts(made))
    prompt = lm.tokenizer.encode(said) if rng.random() < 0.5 else said
    return Question("/v1/completions", {"prompt": prompt} | options, _texts(lm.generate(prompt, **options)))


def _texts(made):
    return tuple(answer.text for answer in (made if isinstance(made, list) else [made]))


class Client:
    """Puts questions and other things to a server until the time is over.

    Attributes:
        seen: how often each outcome came: a status by number, or what the client did.
        wrong: what should not have come.
    """

    def __init__(self, port, questions, seed):
        self.port, self.questions = port, questions
        self.seen, self.wrong = {}, []
        self._rng = random.Random(seed)
        self._deeds = {
            self._whole: 5,
            self._streamed: 5,
            self._slow_reader: 1,
            self._leaves_early: 2,
            self._leaves_in_the_stream: 2,
            self._half_a_request: 1,
            self._bad_body: 2,
            self._short_of_time: 1,
            self._looks_around: 1,
        }

    async def run(self, seconds):
        """Go on for so long; a deed that hangs is wrong."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            (deed,) = self._rng.choices(list(self._deeds), weights=self._deeds.values())
            try:
                async with asyncio.timeout(_SILENCE_S):
                    await deed()
            except TimeoutError:
                self.wrong.append(f"{deed.__name__} hangs")
            except OSError as error:
                self.wrong.append(f"{deed.__name__}: {error!r}")

    async def _whole(self):
        question = self._rng.choice(self.questions)
        status, body = await self._exchange(question.path, question.body)
        if self._expect(status, (200, 429), body) == 200:
            self._compare(question, _whole_texts(json.loads(body), len(question.text)))

    async def _streamed(self, *, slowly=False):
        question = self._rng.choice(self.questions)
        status, body = await self._exchange(question.path, question.body | {"stream": True}, slowly=slowly)
        if self._expect(status, (200, 429), body) == 200:
            if not body.endswith(b"data: [DONE]\n\n"):
                self.wrong.append(f"a stream ends with {body[-200:]!r}")
            self._compare(question, _streamed_texts(body, len(question.text)))

    async def _slow_reader(self):
        await self._streamed(slowly=True)

    async def _leaves_early(self):
        """Goes away at any moment before the answer, by a reset or by a plain end."""
        question = self._rng.choice(self.questions)
        async with self._connected() as (_, writer):
            await self._send(writer, question.path, question.body | {"n": self._rng.choice([1, 4]), "ignore_eos": True})
            await asyncio.sleep(self._rng.random() ** 3)
            self._break(writer)
        self._count("left early")

    async def _leaves_in_the_stream(self):
        question = self._rng.choice(self.questions)
        async with self._connected() as (reader, writer):
            await self._send(writer, question.path, question.body | {"stream": True, "ignore_eos": True})
            for _ in range(self._rng.randint(1, 12)):
                await reader.readline()
            self._break(writer)
        self._count("left in the stream")

    async def _half_a_request(self):
        async with self._connected() as (_, writer):
            writer.write(self._request("/v1/completions", b"{}" * 50)[: self._rng.randint(1, 150)])
            await writer.drain()
            self._break(writer)
        self._count("half a request")

    async def _bad_body(self):
        path = self._rng.choice(("/v1/chat/completions", "/v1/completions", "/tokenize", "/nothing"))
        bodies = [body for body in fixed(path if path in GOOD else "/tokenize") if len(body) < 200_000]
        status, body = await self._exchange(path, self._rng.choice(bodies))
        self._expect(status, range(200, 500), body)

    async def _short_of_time(self):
        question = self._rng.choice(self.questions)
        seconds = b"X-Request-Timeout: %.4f" % (self._rng.random() ** 4 + 0.0005)
        status, body = await self._exchange(question.path, question.body, seconds)
        if self._expect(status, (200, 408, 429), body) == 200:
            self._compare(question, _whole_texts(json.loads(body), len(question.text)))

    async def _looks_around(self):
        path = self._rng.choice(("/health", "/v1/models", "/metrics", "/openapi.json"))
        async with self._connected() as (reader, writer):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            status, body = _read_response(await reader.read(-1))
        self._expect(status, (200,), body)

    def _compare(self, question, texts):
        if tuple(texts) != question.text:
            self.wrong.append(f"{question} was answered {texts!r}")

    def _expect(self, status, allowed, body):
        if status not in allowed:
            self.wrong.append(f"status {status}: {body[:300]!r}")
        self._count(status)
        return status

    def _count(self, outcome):
        self.seen[outcome] = self.seen.get(outcome, 0) + 1

    async def _exchange(self, path, body, *headers, slowly=False):
        async with self._connected(slowly=slowly) as (reader, writer):
            await self._send(writer, path, body, *headers)
            if not slowly:
                return _read_response(await reader.read(-1))
            received = b""
            while piece := await reader.read(self._rng.randint(1, 400)):
                received += piece
                await asyncio.sleep(0.01)
            return _read_response(received)

    @contextlib.asynccontextmanager
    async def _connected(self, *, slowly=False):
        connection = socket.socket()
        connection.setblocking(False)
        if slowly:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=1024 if slowly else 1 << 20)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _send(self, writer, path, body, *headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        writer.write(self._request(path, content, *headers))
        with contextlib.suppress(ConnectionError):  # refused before all of it was read
            await writer.drain()

    def _request(self, path, content, *headers):
        lines = [b"POST " + path.encode() + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *headers]
        return b"\r\n".join([*lines, b"Content-Length: %d" % len(content), b"", content])

    def _break(self, writer):
        if self._rng.random() < 0.5:  # a reset, and not an orderly end
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _read_response(received):
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0
    return status, unchunked(body) if b"transfer-encoding: chunked" in head.lower() else body


def _whole_texts(response, count):
    choices = sorted(response["choices"], key=lambda choice: choice["index"])
    assert len(choices) == count
    return [choice["message"]["content"] if "message" in choice else choice["text"] for choice in choices]


def _streamed_texts(body, count):
    texts = [""] * count
    for line in body.split(b"\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                text = choice["delta"].get("content") if "delta" in choice else choice["text"]
                texts[choice["index"]] += text or ""
    return texts
