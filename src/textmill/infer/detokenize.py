"""The text of a stream: what can be shown as tokens come, without half characters and without stop strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class StreamDecoder(Protocol):
    """What ``Tokenizer.stream_decoder()`` gives: text as soon as its UTF-8 is whole."""

    def push(self, token_id: int, /) -> str:
        """Take a token; return the text that is certain now."""
        ...

    def finish(self) -> str:
        """Return what is left, incomplete UTF-8 replaced."""
        ...


class TextStream:
    """Turn tokens into text that may be shown, and notice where a stop string ends it.

    Text that may be the beginning of a stop string is held back until that is decided. Of several stop strings the
    one that is complete first counts, the longest of those that end together: however the text is cut into tokens,
    what is shown is the same.
    """

    def __init__(self, decoder: StreamDecoder, stop: Sequence[str] = ()) -> None:
        self._decoder = decoder
        self._stop = tuple(stop)
        self._held = ""
        self.stopped = False

    def push(self, token_id: int, *, may_stop: bool = True) -> str:
        """Take a token; return the text to show now. Nothing comes after ``stopped``.

        Where a text may not stop yet, what it says is no part of a stop string.
        """
        if self.stopped:
            return ""
        new_text = self._decoder.push(token_id)
        return self._release(new_text) if may_stop else new_text

    def finish(self) -> str:
        """Return the text that was held back and turned out to be text."""
        if self.stopped:
            return ""
        shown = self._release(self._decoder.finish())
        if self.stopped:
            return shown
        held, self._held = self._held, ""
        return shown + held

    def _release(self, new_text: str) -> str:
        text = self._held + new_text
        begins = _first_stop(text, self._stop)
        if begins is not None:
            self.stopped, self._held = True, ""
            return text[:begins]
        shown = len(text) - _num_held(text, self._stop)
        self._held = text[shown:]
        return text[:shown]


def _first_stop(text: str, stop: Sequence[str]) -> int | None:
    """Where the stop string begins that is complete first."""
    found = [(begins + len(word), begins) for word in stop if (begins := text.find(word)) >= 0]
    return min(found)[1] if found else None


def _num_held(text: str, stop: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of a stop string."""
    longest = 0
    for word in stop:
        for size in range(min(len(word) - 1, len(text)), longest, -1):
            if text.endswith(word[:size]):
                longest = size
                break
    return longest
