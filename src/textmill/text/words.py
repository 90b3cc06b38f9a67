"""Words and sentences of a text, split natively; ``reference_words`` says in plain Python what they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.text.text_batch import TextBatch


def split_words(text: str) -> list[str]:
    """Split a text into words.

    A word is a run of letters, numbers and marks, inside which one of ' ’ - may stand before a letter or number, and
    one of . , between two numbers; or an ideograph, a kana, or a letter of Thai, Lao, Khmer or Myanmar by itself; or a
    run of one and the same other character that is not white space. Marks and format characters belong to the word
    before them. What is left out is white space.
    """
    batch = TextBatch.of([text])
    whole = batch.data.tobytes()
    return [whole[begin:end].decode() for begin, end in word_spans(batch)[0].tolist()]


def word_spans(texts: TextBatch) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Find the words of texts.

    Returns:
        uint32[num_words, 2]: begin and end of each word, in bytes of its text; and int64[num_texts + 1]: how many words
        there are before each text, and in all.
    """
    return _core.word_spans(texts.data, texts.offsets)


def count_words(texts: TextBatch, threads: int = 1) -> NDArray[np.int64]:
    """Count the words of each text; returns int64[num_texts]."""
    return _core.count_words(texts.data, texts.offsets, threads)


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences, each without the white space at its ends.

    A sentence ends behind a run of . ? ! … 。！？ and the closing quotes and brackets that follow, if then comes white
    space and no small letter; 。！？ end one in any case, a single . behind an abbreviation or a single letter none.
    """
    utf8 = text.encode()
    ends = _core.sentence_ends(utf8).tolist()
    return [utf8[begin:end].decode().strip() for begin, end in zip([0, *ends], ends, strict=False)]
