"""The native scan finds what the plain-Python twin finds, in any text, with any number of threads."""

import dataclasses
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill import _core
from textmill.text.decontamination import reference
from textmill.text.decontamination.profiles import PROFILES
from textmill.text.reference_words import folded_words
from textmill.text.text_batch import TextBatch

# Characters that Python's tables know, too.
CHARACTERS = st.characters(codec="utf-8").filter(lambda c: unicodedata.category(c) not in ("Cn", "Co", "Cs"))
TEXTS = st.text(st.sampled_from("aAbéE\u0301ǅßſKσς1٣. -_'’\n\u00ad\u200b漢字かナกิ한가ﬁ") | CHARACTERS, max_size=40)
WORDS = st.sampled_from("a b c d e f g the of".split())
SENTENCES = st.lists(WORDS, max_size=40).map(" ".join)
SMALL = {
    name: dataclasses.replace(profile, ngram=min(4, profile.ngram), min_words=2) for name, profile in PROFILES.items()
}


def scan(documents, entries, profile, threads=1):
    texts, batch = TextBatch.of(entries), TextBatch.of(documents)
    index = _core.NgramIndex(
        texts.data, texts.offsets, ngram=profile.ngram, min_words=profile.min_words,
        measure=profile.measure, min_ratio=profile.min_ratio,
    )  # fmt: skip
    return index.scan(batch.data, batch.offsets, threads)


@given(TEXTS, TEXTS)
def test_words_are_equal_where_the_twin_says_so(first, second):
    both = f"{first} {second}"
    folded = [word.folded for word in folded_words(both)]
    profile = dataclasses.replace(PROFILES["dolma"], ngram=1, min_words=1)
    for word in folded_words(both):
        spelled = both[word.begin : word.end]
        rows, _, _ = scan([both], [spelled], profile)
        assert len(rows) == folded.count(word.folded)


@pytest.mark.parametrize("name", PROFILES)
@settings(max_examples=60)
@given(document=SENTENCES, entries=st.lists(SENTENCES, max_size=4))
def test_what_is_found_is_what_the_twin_finds(name, document, entries):
    profile = SMALL[name]
    rows, ratios, rejected = scan([document], entries, profile)
    words = folded_words(document)
    expected = reference.find(document, entries, profile)
    assert [(entry, begin, end) for _, entry, begin, end, _, _ in rows.tolist()] == [
        (match.entry, words[match.begin].begin, words[match.end - 1].end) for match in expected
    ]
    assert ratios.tolist() == pytest.approx([match.ratio for match in expected], abs=1e-12)
    assert not any(rejected[match.entry] for match in expected)


@pytest.mark.parametrize("name", PROFILES)
def test_threads_change_nothing(name):
    generator = np.random.default_rng(7)
    words = np.array([f"w{number}" for number in range(50)])
    documents = [" ".join(generator.choice(words, 60_000)) for _ in range(12)]
    entries = [" ".join(documents[number].split()[at : at + 30]) for number in range(12) for at in (0, 777, 59_970)]
    one, many = (scan(documents, entries, PROFILES[name], threads) for threads in (1, 3))
    assert all(np.array_equal(*pair) for pair in zip(one, many, strict=True))
    assert set(one[0][:, 1].tolist()) == set(range(36))


def test_wrong_arguments_are_refused():
    profile = dataclasses.replace(PROFILES["finemath"], measure="cosine")
    with pytest.raises(ValueError, match="no measure"):
        scan(["a"], ["b"], profile)
    index = _core.NgramIndex(
        np.zeros(1, np.uint8), np.array([0, 1]), ngram=1, min_words=1, measure="whole", min_ratio=1.0
    )
    with pytest.raises(ValueError, match="offsets"):
        index.scan(np.zeros(1, np.uint8), np.array([0, 2]))
