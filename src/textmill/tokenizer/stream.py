"""Decoding a token at a time, without ever showing half a character."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence

_MOST_HELD = 3  # bytes of a character that is still arriving


class StreamDecoder:
    """Turns token ids into text as they come; holds back the bytes of a character that is still arriving, at most 3.

    The text of all ``push`` and the ``finish`` together is what ``decode`` gives for the ids at once: bytes that cannot
    be part of a character become U+FFFD, and so do those that are left over when the stream ends. After a prompt it is
    what the ids add to the prompt's text; a character that the prompt begins and they end is theirs.
    """

    def __init__(
        self,
        token_bytes: Callable[[int], bytes],
        strip: Callable[[int, bytes], tuple[bytes, bool]] | None = None,
        prompt: Sequence[int] = (),
    ) -> None:
        """``strip`` takes off a token what decoding leaves out at the start, and says if the next is there too."""
        self._token_bytes = token_bytes
        self._strip = strip
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._is_after_start, self._held = self._state_after(prompt)
        self._begin()

    def push(self, token_id: int) -> str:
        """Take the next token; returns the text that is certain by now, often empty."""
        return self._decoder.decode(self._stripped(token_id))

    def finish(self) -> str:
        """End the stream; returns what was held back. The decoder can be used anew, after the same prompt."""
        text = self._decoder.decode(b"", final=True)
        self._begin()
        return text

    def _begin(self) -> None:
        self._decoder.reset()
        self._decoder.decode(self._held)
        self._is_at_start = not self._is_after_start

    def _stripped(self, token_id: int) -> bytes:
        token = self._token_bytes(token_id)
        if self._strip is not None and self._is_at_start:
            token, self._is_at_start = self._strip(token_id, token)
        return token

    def _state_after(self, prompt: Sequence[int]) -> tuple[bool, bytes]:
        """Whether the start is past after a prompt, and its last bytes."""
        self._is_at_start = True
        tail = b""
        for token_id in prompt:
            tail = (tail + self._stripped(token_id))[-_MOST_HELD:]
        return self._strip is not None and not self._is_at_start, tail
