"""What happens to a text before it is split: Unicode normalisation, and a space put before it.

Both lose something: encoding is lossless on the normalised text. Places in it can be told in the text as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from textmill import _core

NORMALIZERS = ("", "nfc")
_SPACE = b" "


def normalize(text: bytes, normalizer: str) -> bytes:
    """Return a text in the form that a normalizer gives: "" leaves it alone, "nfc" is Hugging Face's NFC."""
    return _core.nfc(text) if normalizer == "nfc" else text


@dataclass(frozen=True)
class Segment:
    """Bytes ``begin`` to ``end`` of a text, and what the normalizer made of them.

    Attributes:
        begin, end: bytes in the text.
        original: those bytes.
        text: the same, normalised.
    """

    begin: int
    original: bytes
    text: bytes

    @property
    def end(self) -> int:
        """The byte after the last one."""
        return self.begin + len(self.original)

    def original_places(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn places in the normalised segment into places in the whole text.

        A place within characters that the normalizer changed becomes the end of those characters: the first token
        that holds a part of them has all of them as its span.

        Args:
            places: int64[n], ascending, each from 0 to the length of the normalised segment.
        """
        if self.text == self.original:
            return self.begin + places
        to_begin, to_end, _, from_end = self._changes.T
        change = np.searchsorted(to_begin, places, side="left") - 1  # the last one that begins before the place
        before = np.maximum(change, 0)
        moved = np.where(places < to_end[before], from_end[before], from_end[before] + places - to_end[before])
        return self.begin + np.where(change < 0, places, moved)

    @cached_property
    def _changes(self) -> NDArray[np.int64]:
        return _core.nfc_changes(self.original)[1]


def without_bytes(text: bytes, dropped: bytes) -> bytes:
    """Leave bytes out of a text."""
    return text.translate(None, dropped)


def places_with_dropped(places: NDArray[np.int64], text: bytes, dropped: bytes) -> NDArray[np.int64]:
    """Turn the ends of tokens in a text without some bytes into ends in the text with them; the last is its end.

    A dropped byte belongs to the token before it, and before the first token to that one.
    """
    is_kept = ~np.isin(np.frombuffer(text, dtype=np.uint8), np.frombuffer(dropped, dtype=np.uint8))
    edges = np.append(np.flatnonzero(is_kept), len(text))  # where each kept byte begins, and the end
    return edges[places]


def with_prefix_space(text: bytes) -> bytes:
    """Put a space before a text that is not empty and does not begin with one."""
    return text if not text or text.startswith(_SPACE) else _SPACE + text
