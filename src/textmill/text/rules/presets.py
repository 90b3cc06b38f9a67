"""Rules as they were published, with the bounds of their papers or of the code that made the data.

Sources: Gopher arXiv:2112.11446 §A.1.1 and table A1; C4 arXiv:1910.10683 §2.2 and tensorflow-datasets' c4_utils.py;
FineWeb arXiv:2406.17557 §3; datatrove 0.10.1, whose code made FineWeb.
"""

from __future__ import annotations

from typing import Literal

from textmill.text.rules.line_rules import LineRules
from textmill.text.rules.measured_rules import MeasuredRules
from textmill.text.rules.rule import at_least, at_most

UserList = Literal["bad_words", "blocked_urls"]

GOPHER_QUALITY = MeasuredRules(
    "words",
    (
        at_least("min_words", "num_words", 50),
        at_most("max_words", "num_words", 100_000),
        at_least("min_mean_word_length", "mean_word_length", 3),
        at_most("max_mean_word_length", "mean_word_length", 10),
        at_most("max_hashes_per_word", "hashes_per_word", 0.1),
        at_most("max_ellipses_per_word", "ellipses_per_word", 0.1),
        at_most("max_bullet_lines", "bullet_lines", 0.9),
        at_most("max_ellipsis_lines", "ellipsis_lines", 0.3),
        at_least("min_words_with_letter", "words_with_letter", 0.8),
        at_least("min_stop_words", "num_stop_words", 2),
    ),
)

GOPHER_REPETITION = MeasuredRules(
    "repetition",
    (
        at_most("max_duplicate_paragraphs", "duplicate_paragraphs", 0.3),
        at_most("max_duplicate_paragraph_chars", "duplicate_paragraph_chars", 0.2),
        at_most("max_duplicate_lines", "duplicate_lines", 0.3),
        at_most("max_duplicate_line_chars", "duplicate_line_chars", 0.2),
        at_most("max_top_2_gram_chars", "top_2_gram_chars", 0.2),
        at_most("max_top_3_gram_chars", "top_3_gram_chars", 0.18),
        at_most("max_top_4_gram_chars", "top_4_gram_chars", 0.16),
        at_most("max_duplicate_5_gram_chars", "duplicate_5_gram_chars", 0.15),
        at_most("max_duplicate_6_gram_chars", "duplicate_6_gram_chars", 0.14),
        at_most("max_duplicate_7_gram_chars", "duplicate_7_gram_chars", 0.13),
        at_most("max_duplicate_8_gram_chars", "duplicate_8_gram_chars", 0.12),
        at_most("max_duplicate_9_gram_chars", "duplicate_9_gram_chars", 0.11),
        at_most("max_duplicate_10_gram_chars", "duplicate_10_gram_chars", 0.10),
    ),
)

C4_PAPER = LineRules(end_marks='.!?"', min_words_per_line=3, count_words_last=True, max_word_length=0, min_sentences=5)
C4_TFDS = LineRules(
    end_marks='.?!"', min_words_per_line=5, count_words_last=True, max_word_length=1000, min_sentences=3
)
C4_DATATROVE = LineRules(
    end_marks=".?!\"'", min_words_per_line=3, count_words_last=False, max_word_length=1000, min_sentences=5
)
# FineWeb takes C4's rules but for the end marks, which alone cost a third of the tokens.
C4_WITHOUT_END_MARKS = LineRules(min_words_per_line=3, count_words_last=False, max_word_length=1000, min_sentences=5)

_FINEWEB_LINES = (
    at_least("min_lines", "num_lines", 1),
    at_least("min_end_mark_lines", "end_mark_lines", 0.12),
    at_most("max_short_lines", "short_lines", 0.67),
)
FINEWEB_PAPER = MeasuredRules(
    "lines", (*_FINEWEB_LINES, at_most("max_repeated_line_chars", "repeated_line_chars", 0.1))
)
FINEWEB_DATATROVE = MeasuredRules(
    "lines",
    (
        *_FINEWEB_LINES,
        at_most("max_repeated_line_chars", "repeated_line_chars", 0.01),
        at_most("max_newlines_per_word", "newlines_per_word", 0.3),
    ),
)

# For small corpora, stories, dialogue and documentation: only what is plainly broken goes. There is no floor of 50
# words, no stop words are asked for, and no bound on the most frequent n-gram, of which short texts are made.
SMOL_QUALITY = MeasuredRules(
    "words",
    (
        at_least("min_words", "num_words", 5),
        at_most("max_words", "num_words", 1_000_000),
        at_least("min_mean_word_length", "mean_word_length", 2),
        at_most("max_mean_word_length", "mean_word_length", 12),
        at_most("max_hashes_per_word", "hashes_per_word", 0.2),
        at_most("max_ellipses_per_word", "ellipses_per_word", 0.2),
        at_least("min_words_with_letter", "words_with_letter", 0.5),
    ),
)
SMOL_REPETITION = MeasuredRules(
    "repetition",
    (
        at_most("max_duplicate_paragraph_chars", "duplicate_paragraph_chars", 0.4),
        at_most("max_duplicate_line_chars", "duplicate_line_chars", 0.4),
        at_most("max_duplicate_5_gram_chars", "duplicate_5_gram_chars", 0.4),
        at_most("max_duplicate_10_gram_chars", "duplicate_10_gram_chars", 0.3),
    ),
)

# The steps of each preset in their order; the name of a list stands for a step that is off where no list is given.
PRESETS: dict[str, tuple[MeasuredRules | LineRules | UserList, ...]] = {
    "gopher": (GOPHER_QUALITY, GOPHER_REPETITION),
    "c4-paper": (C4_PAPER, "bad_words"),
    "c4-tfds": (C4_TFDS, "bad_words"),
    "c4-datatrove": (C4_DATATROVE, "bad_words"),
    "fineweb-paper": ("blocked_urls", GOPHER_REPETITION, GOPHER_QUALITY, C4_WITHOUT_END_MARKS, FINEWEB_PAPER),
    "fineweb-datatrove": ("blocked_urls", GOPHER_REPETITION, GOPHER_QUALITY, C4_WITHOUT_END_MARKS, FINEWEB_DATATROVE),
    "smol": (SMOL_QUALITY, SMOL_REPETITION),
}
