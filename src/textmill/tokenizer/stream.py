"""Decoding a token at a time, without ever showing half a character."""

from __future__ import annotations

import codecs
from collections.abc import Callable


class StreamDecoder:
    """Turns token ids into text as they come; holds back the bytes of a character that is still arriving, at most 3.

    The text of all ``push`` and the ``finish`` together is what ``decode`` gives for the ids at once: bytes that cannot
    be part of a character become U+FFFD, and so do those that are left over when the stream ends.
    """

    def __init__(
        self, token_bytes: Callable[[int], bytes], strip: Callable[[int, bytes], tuple[bytes, bool]] | None = None
    ) -> None:
        """``strip`` takes off a token what decoding leaves out at the start, and says if the next is there too."""
        self._token_bytes = token_bytes
        self._strip = strip
        self._is_at_start = strip is not None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """Take the next token; returns the text that is certain by now, often empty."""
        token = self._token_bytes(token_id)
        if self._strip is not None and self._is_at_start:
            token, self._is_at_start = self._strip(token_id, token)
        return self._decoder.decode(token)

    def finish(self) -> str:
        """End the stream; returns what was held back. The decoder can be used anew."""
        text = self._decoder.decode(b"", final=True)
        self._decoder.reset()
        self._is_at_start = self._strip is not None
        return text
