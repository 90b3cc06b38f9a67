"""Words and sentences equal those of the regular expressions that say what they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from text.edge_texts import EDGES, nasty_text
from textmill import _core
from textmill.text import reference_words
from textmill.text.text_batch import TextBatch
from textmill.text.words import count_words, split_sentences, split_words, word_spans

# Python's own tables are older than ours: characters that they do not know may be letters by now.
KNOWN = st.characters(exclude_categories=("Cs", "Cn"))
TRICKY = st.sampled_from([*"ab1.,'’-_\n …。！\"”)", "Mr", "ก", "็", "漢", "ー", "́", "٣", "\u200d", "❤", "é", "ß", "ж"])
TEXTS = (st.lists(KNOWN | TRICKY) | st.lists(TRICKY, max_size=30)).map("".join)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, it’s 3.14!", ["Don't", "stop", ",", "it’s", "3.14", "!"]),
        ("state-of-the-art -- and so...", ["state-of-the-art", "--", "and", "so", "..."]),
        ("1,000,000 x 2.", ["1,000,000", "x", "2", "."]),
        ("日本語です", ["日", "本", "語", "で", "す"]),
        ("ภาษา", ["ภ", "า", "ษ", "า"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("snake_case", ["snake", "_", "case"]),
        ("###", ["###"]),
        ("'quoted'", ["'", "quoted", "'"]),
        ("", []),
        (" \n\u2028 ", []),
    ],
)
def test_words_are_what_people_count(text: str, words: list[str]) -> None:
    assert split_words(text) == words
    assert reference_words.split_words(text) == words


@given(TEXTS)
def test_words_equal_the_twin(text: str) -> None:
    assert split_words(text) == reference_words.split_words(text)


@given(TEXTS)
def test_sentences_equal_the_twin(text: str) -> None:
    assert split_sentences(text) == reference_words.split_sentences(text)


@pytest.mark.parametrize(
    ("text", "num_sentences"),
    [
        ("One. Two! Three?", 3),
        ("Mr. Smith saw J. Doe. He left.", 2),
        ("It costs 3.50 dollars, e.g. here.", 1),
        ('"Really?" she asked. "Yes."', 2),
        ("一。二！三", 3),
        ("no mark", 1),
        ("  ", 0),
        ("Wait... what?", 1),
    ],
)
def test_sentences_end_at_their_marks(text: str, num_sentences: int) -> None:
    assert len(split_sentences(text)) == num_sentences


@given(st.lists(TEXTS, max_size=5))
def test_spans_of_many_texts_are_those_of_each(texts: list[str]) -> None:
    batch = TextBatch.of(texts)
    spans, before = word_spans(batch)
    assert before[-1] == len(spans)
    for number, text in enumerate(texts):
        words = [text.encode()[b:e].decode() for b, e in spans[before[number] : before[number + 1]].tolist()]
        assert words == split_words(text)
    assert count_words(batch, threads=2).tolist() == np.diff(before).tolist()


@given(st.binary())
def test_any_bytes_have_words_that_stand_in_order(data: bytes) -> None:
    spans, _ = word_spans(TextBatch.of([data]))
    edges = spans.reshape(-1).astype(np.int64)
    assert (np.diff(edges) >= 0).all()
    assert (spans[:, 0] < spans[:, 1]).all()
    assert not len(edges) or edges[-1] <= len(data)


@pytest.mark.parametrize("text", ["ສະບາຍດີ ທ່ານ", "မင်္ဂလာပါ ခင်ဗျား", "ជំរាបសួរ លោក", "สวัสดี ครับ", "你好 世界 カタカナ"])
def test_scripts_without_spaces_are_split_by_letters(text):
    assert len(split_words(text)) > 4


@settings(max_examples=300)
@given(st.integers(0, 70), EDGES)
def test_words_at_the_ends_of_windows_equal_the_twins(num_before: int, text: str) -> None:
    for before in (" " * num_before, "b" * num_before):
        assert split_words(before + text) == reference_words.split_words(before + text)
        check_folded(before + text)


@pytest.mark.parametrize("length", range(301))
def test_words_of_nasty_texts_equal_the_twins(length: int) -> None:
    text = nasty_text(length)
    assert split_words(text) == reference_words.split_words(text)
    check_folded(text)


def check_folded(text: str) -> None:
    """Check that the native words that matching compares lie where the twin's do."""
    data = text.encode()
    spans = _core.folded_word_spans(np.frombuffer(data, np.uint8)).tolist()
    places = [(len(data[:begin].decode()), len(data[:end].decode())) for begin, end in spans]
    assert places == [(word.begin, word.end) for word in reference_words.folded_words(text)]


@given(
    TEXTS | st.text(st.sampled_from("aAbéE\u0301ǅßſKσς1٣. -_'’\n\u00ad\u200b漢字かナーｶﾞกิ한가ﬁ") | KNOWN, max_size=40)
)
@example("Ǆ ﬁne Ⅷ x\u0301\u00ady 漢e\u0301字")
def test_folded_words_are_those_of_the_twin(text: str) -> None:
    check_folded(text)
