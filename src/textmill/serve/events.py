"""Server-sent events of a stream: what is the same in every chunk is written once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from textmill.infer.answer import Answer
from textmill.serve.usage import usage_of
from textmill.serve.wire_requests import StreamOptions
from textmill.serve.wire_responses import FinishReason

DONE = b"data: [DONE]\n\n"
PING = b": still here\n\n"
to_json = msgspec.json.encode


class Events:
    """The chunks of one stream, by what differs between them."""

    def __init__(
        self,
        *,
        request_id: str,
        kind: str,
        created: int,
        model: str,
        fingerprint: str,
        options: StreamOptions | None,
    ) -> None:
        """``kind`` is the chunks' ``object``; ``options`` says whether they tell the usage."""
        same = {"id": request_id, "object": kind, "created": created, "model": model, "system_fingerprint": fingerprint}
        self._head = b"data: " + to_json(same)[:-1] + b',"choices":['
        self._tells_at_end = bool(options and options.include_usage)
        self._tells_always = self._tells_at_end and bool(options and options.continuous_usage_stats)
        self._tail = b'}],"usage":null}\n\n' if self._tells_at_end else b"}]}\n\n"

    def count(self, answers: Sequence[Answer]) -> None:
        """Have the next chunks tell the usage so far, where every chunk is to."""
        if self._tells_always:
            self._tail = b'}],"usage":' + to_json(usage_of(answers)) + b"}\n\n"

    def delta(
        self, index: int, delta: bytes, *, logprobs: bytes = b"null", reason: FinishReason | None = None
    ) -> bytes:
        """A chunk of a chat; ``delta`` and ``logprobs`` are JSON."""
        return b'%s{"index":%d,"delta":%s,"logprobs":%s,"finish_reason":%s%s' % (
            *(self._head, index, delta, logprobs),
            *(_reason(reason), self._tail),
        )

    def text(self, index: int, text: str, *, logprobs: bytes = b"null", reason: FinishReason | None = None) -> bytes:
        """A chunk of a completion; ``logprobs`` is JSON."""
        return b'%s{"index":%d,"text":%s,"logprobs":%s,"finish_reason":%s%s' % (
            *(self._head, index, to_json(text), logprobs),
            *(_reason(reason), self._tail),
        )

    def end(self, answers: Sequence[Answer]) -> bytes:
        """What comes when all is told: a chunk of usage, without choices, where it is asked for."""
        if not self._tells_at_end:
            return b""
        return self._head + b'],"usage":' + to_json(usage_of(answers)) + b"}\n\n"


def error_event(error: bytes) -> bytes:
    """What a stream ends with that breaks off; ``error`` is JSON."""
    return b"data: " + error + b"\n\n"


def _reason(reason: FinishReason | None) -> bytes:
    return b"null" if reason is None else b'"%s"' % reason.encode()
