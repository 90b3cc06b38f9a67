"""What was found is cut out of a document, with a margin, as GPT-3's makers did (arXiv:2005.14165, appendix C)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.text.text_batch import TextBatch

MARGIN = 200
"""Characters that go with a span, on either side; a piece that is left and shorter goes, too."""
MAX_PIECES = 10
"""A document that would be left in more pieces is dropped."""
JOINT = "\n\n"


def cut_out(texts: TextBatch, spans: Mapping[int, Sequence[tuple[int, int]]]) -> tuple[TextBatch, NDArray[np.bool_]]:
    """Cut spans of bytes, by document, out of texts.

    Returns the texts, what is left of a document joined by an empty line, and bool[num_texts]: whether enough is left.
    """
    changed: list[bytes] = list(texts)
    kept = np.ones(len(texts), np.bool_)
    for document, of_document in spans.items():
        pieces = pieces_left(
            changed[document].decode("utf-8", "replace"), _in_characters(changed[document], of_document)
        )
        kept[document] = 0 < len(pieces) <= MAX_PIECES
        if kept[document]:
            changed[document] = JOINT.join(pieces).encode()
    return TextBatch.of(changed), kept


def pieces_left(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """Return what is left of a text without spans of characters and their margins, long enough pieces only."""
    pieces, at = [], 0
    for begin, end in [*sorted(spans), (len(text) + MARGIN, len(text) + MARGIN)]:
        piece = text[at : max(at, begin - MARGIN)].strip()
        if len(piece) >= MARGIN:
            pieces.append(piece)
        at = max(at, end + MARGIN)
    return pieces


def _in_characters(text: bytes, spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    def character(place: int) -> int:
        return len(text[:place].decode("utf-8", "replace"))

    return [(character(begin), character(end)) for begin, end in spans]
