"""Statistics and line edits equal those of plain Python, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.rule_texts import TEXTS
from textmill.text.rules import reference
from textmill.text.rules.bad_words import BadWords
from textmill.text.rules.presets import C4_DATATROVE, C4_PAPER, C4_TFDS, C4_WITHOUT_END_MARKS
from textmill.text.rules.statistics import COLUMNS, measure
from textmill.text.text_batch import TextBatch

TWINS = {
    "words": reference.word_statistics,
    "repetition": reference.repetition_statistics,
    "lines": reference.line_statistics,
}


@pytest.mark.parametrize("table", TWINS)
@settings(deadline=None, max_examples=200)
@given(texts=st.lists(TEXTS, max_size=3))
def test_statistics_equal_the_twins(table, texts):
    measured = measure(table, TextBatch.of(texts), threads=1)
    expected = [TWINS[table](text) for text in texts]
    assert measured.shape == (len(texts), len(COLUMNS[table]))
    np.testing.assert_array_equal(measured, np.array(expected, np.float64).reshape(measured.shape))


@pytest.mark.parametrize("rules", [C4_PAPER, C4_TFDS, C4_DATATROVE, C4_WITHOUT_END_MARKS])
@pytest.mark.parametrize("min_sentences", [None, 0])
@settings(deadline=None, max_examples=100)
@given(text=TEXTS)
def test_line_edits_equal_the_twins(rules, min_sentences, text):
    if min_sentences is not None:
        rules = rules.overridden({"min_sentences": min_sentences})
    judgement = rules.judge(TextBatch.of([text, text]), None, 1)
    edited, reason = reference.edit_lines(text, rules)
    number = -1 if reason is None else rules.rule_names.index(reason)
    assert judgement.failed.tolist() == [number] * 2
    assert judgement.texts.texts() == [edited] * 2


@settings(deadline=None, max_examples=200)
@given(
    text=st.text(st.sampled_from("aB_1 é\n-́")),
    phrases=st.lists(st.text(st.sampled_from("ab_1 é-"), min_size=1, max_size=4), min_size=1, max_size=5),
)
def test_bad_words_equal_the_twins(text, phrases):
    judgement = BadWords(TextBatch.of(phrases)).judge(TextBatch.of([text]), None, 1)
    assert (judgement.failed[0] == 0) == reference.has_bad_word(text, phrases)


@pytest.mark.parametrize("table", TWINS)
def test_threads_change_nothing(table):
    texts = TextBatch.of(["one two three " * n for n in range(1, 1500)])
    np.testing.assert_array_equal(measure(table, texts, 1), measure(table, texts, 3))


def test_ngrams_that_read_the_same_without_spaces_are_the_same():
    text = "abc d e f g h i j k l m n o p. " + "ab cd e f g h i j k l m n o p."
    assert reference.repetition_statistics(text) == measure("repetition", TextBatch.of([text]), 1)[0].tolist()
    assert measure("repetition", TextBatch.of([text]), 1)[0, -1] > 0
