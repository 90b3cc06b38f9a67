"""What rules ask of texts, measured natively: tables with a row for each text."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.text.rules.punctuation import END_MARKS, PUNCTUATION
from textmill.text.text_batch import TextBatch

Table = Literal["words", "repetition", "lines"]

# The columns of each table, in the order of the native code; docs/reference/filters.md defines them.
COLUMNS: dict[Table, tuple[str, ...]] = {
    "words": (
        "num_words",
        "mean_word_length",
        "hashes_per_word",
        "ellipses_per_word",
        "bullet_lines",
        "ellipsis_lines",
        "words_with_letter",
        "num_stop_words",
    ),
    "repetition": (
        "duplicate_paragraphs",
        "duplicate_paragraph_chars",
        "duplicate_lines",
        "duplicate_line_chars",
        *(f"top_{n}_gram_chars" for n in range(2, 5)),
        *(f"duplicate_{n}_gram_chars" for n in range(5, 11)),
    ),
    "lines": ("num_lines", "end_mark_lines", "short_lines", "repeated_line_chars", "newlines_per_word"),
}


def measure(table: Table, texts: TextBatch, threads: int) -> NDArray[np.float64]:
    """Measure texts; returns float64[num_texts, columns of the table]."""
    if table == "words":
        return _core.word_statistics(texts.data, texts.offsets, PUNCTUATION, threads)
    if table == "repetition":
        return _core.repetition_statistics(texts.data, texts.offsets, threads)
    return _core.line_statistics(texts.data, texts.offsets, END_MARKS, threads)
