"""Hashes, shingles and MinHash keys equal their twins', on any number of threads."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text.edge_texts import EDGES, nasty_text
from textmill import _core
from textmill.text.dedup import MinHashSettings, reference
from textmill.text.text_batch import TextBatch

SMALL = MinHashSettings(bands=3, rows=2, ngram=2, seed=7)
# Characters of every kind that words know, those that lie at the borders of windows and blocks made likely.
ASCII = ["a", "Word", "ABCDEFGH", "ijklmnopqr", "x" * 70, " ", ", ", "\n", "-", "'", "12"]
CASED = ["é", "É", "E\u0301", "ſ", "K", "\u212a", "ß", "ẞ", "İ", "σ", "ς", "Σ", "Привет", "мир", "ﬁ", "Ⅷ"]
OTHERS = ["漢", "字", "カ", "ー", "ไ", "ไ\u0e48", "\u0301", "😀", "\u00a0", "…", "²"]
PIECES = st.sampled_from([*ASCII, *CASED, *OTHERS])
TEXTS = st.lists(PIECES, max_size=60).map("".join)


def assigned_in_both(text: str) -> bool:
    return all(unicodedata.category(character) != "Cn" for character in text)


def sets_of(texts, ngram, num_threads=1):
    batch = TextBatch.of(texts)
    sets, offsets = _core.shingle_sets(batch.data, batch.offsets, ngram, num_threads)
    return [set(sets[offsets[i] : offsets[i + 1]].tolist()) for i in range(len(texts))]


def bands_of(texts, minhash, num_threads=1):
    batch = TextBatch.of(texts)
    return _core.minhash_bands(
        batch.data, batch.offsets, minhash.bands, minhash.rows, minhash.ngram, minhash.seed, num_threads
    )


@settings(deadline=None, max_examples=60)
@given(texts=st.lists(st.binary(max_size=70), max_size=5))
def test_text_hashes_are_the_twins(texts):
    batch = TextBatch.of(texts)
    hashes = _core.text_hashes(batch.data, batch.offsets)
    assert [tuple(row) for row in hashes.tolist()] == [reference.text_hash(text) for text in texts]


def test_text_hashes_differ_where_texts_do():
    texts = [b"\0" * n for n in range(100)] + [bytes([1 << bit]) + bytes(31) for bit in range(8)]
    texts += [bytes(31) + bytes([1 << bit]) for bit in range(8)]
    batch = TextBatch.of(texts)
    hashes = _core.text_hashes(batch.data, batch.offsets)
    assert len(np.unique(hashes[:, 0])) == len(np.unique(hashes[:, 1])) == len(texts)


@settings(deadline=None, max_examples=150)
@given(text=TEXTS, ngram=st.integers(1, 6))
def test_shingles_are_the_twins(text, ngram):
    assert sets_of([text], ngram) == [reference.shingles(text, ngram)]


@settings(deadline=None, max_examples=100)
@given(text=st.text(max_size=100).filter(assigned_in_both))
def test_shingles_of_any_text_are_the_twins(text):
    assert sets_of([text], 1) == [reference.shingles(text, 1)]


@settings(deadline=None, max_examples=200)
@given(num_before=st.integers(0, 70), text=EDGES, ngram=st.integers(1, 3))
def test_shingles_at_the_ends_of_windows_are_the_twins(num_before, text, ngram):
    texts = [before + text for before in (" " * num_before, "b" * num_before, "É" * num_before)]
    assert sets_of(texts, ngram) == [reference.shingles(each, ngram) for each in texts]


@pytest.mark.parametrize("ngram", [1, 2, 5])
def test_shingles_of_nasty_texts_are_the_twins(ngram):
    texts = [nasty_text(length) for length in range(301)]
    for text, shingles in zip(texts, sets_of(texts, ngram, num_threads=2), strict=True):
        assert shingles == reference.shingles(text, ngram), text


def test_every_character_is_folded_as_the_twin_folds_it():
    known = [
        character for character in map(chr, range(0x110000)) if unicodedata.category(character) not in ("Cn", "Cs")
    ]
    text = " ".join(known)
    (found,) = sets_of([text], 2)
    different = found ^ reference.shingles(text, 2)
    assert not different


@settings(deadline=None, max_examples=40)
@given(data=st.binary(max_size=200))
def test_bytes_that_are_no_text_only_separate(data):
    lone_surrogates = data.decode(errors="surrogateescape")
    as_spaces = "".join(" " if "\udc80" <= c <= "\udcff" else c for c in lone_surrogates)
    assert sets_of([data], 2) == sets_of([as_spaces], 2)


@pytest.mark.parametrize("length", [*range(1, 35), 62, 63, 64, 65, 79, 80, 81, 128, 200])
def test_words_of_any_length_at_any_place(length):
    for before in (0, 1, 7, 40, 63):
        for after in ("", " ", " b", "é", "-" * 90):
            text = " " * before + "w" * length + after
            assert sets_of([text], 1) == [reference.shingles(text, 1)], (before, after)


def test_case_and_punctuation_do_not_matter():
    same = [
        "Don't STOP, the well-known “Straße”.",
        "don t stop the well known straße",
        "DON’T (stop): the WELL_KNOWN straẞe!",
    ]
    first, *others = sets_of(same, 3)
    assert len(first) == 5
    assert others == [first, first]


def test_accents_and_what_nobody_sees_do_not_matter():
    composed = "Café naïve coöperate Ελλάδα"
    same = [
        composed,
        unicodedata.normalize("NFD", composed),
        "cafe naive cooperate ελλαδα",
        "ca\u00adfé na\u200dïve " + composed[11:],
    ]
    first, *others = sets_of(same, 2)
    assert len(first) == 3
    assert others == [first] * 3


def test_a_letter_of_a_script_without_spaces_is_a_word():
    assert len(sets_of(["東京タワーへ go"], 1)[0]) == 7


@settings(deadline=None, max_examples=30)
@given(
    texts=st.lists(TEXTS, max_size=4),
    bands=st.integers(1, 5),
    rows=st.integers(1, 30),
    seed=st.integers(0, 2**64 - 1),
)
def test_minhash_keys_are_the_twins(texts, bands, rows, seed):
    minhash = MinHashSettings(bands=bands, rows=rows, ngram=2, seed=seed)
    expected = [reference.band_keys(reference.shingles(text, 2), minhash) for text in texts]
    assert bands_of(texts, minhash).tolist() == expected


def test_every_number_of_vectors_is_the_twins():
    text = "one two three four five six seven eight nine ten"
    shingles = reference.shingles(text, 5)
    for count in range(8, 280, 8):
        minhash = MinHashSettings(bands=count // 8, rows=8)
        assert bands_of([text], minhash).tolist() == [reference.band_keys(shingles, minhash)]


def test_minhash_keys_of_sets_are_those_of_their_texts():
    texts = ["", *(f"text number {i} of a few, " * (i % 7) for i in range(600))]
    batch = TextBatch.of(texts)
    sets, offsets = _core.shingle_sets(batch.data, batch.offsets, SMALL.ngram)
    keys = _core.minhash_bands_of_sets(sets, offsets, SMALL.bands, SMALL.rows, SMALL.seed, 2)
    assert (keys == bands_of(texts, SMALL)).all()


def test_threads_do_not_matter():
    texts = [f"text number {i} of many " * (i % 50) for i in range(4000)]
    assert (bands_of(texts, SMALL, 1) == bands_of(texts, SMALL, 3)).all()
    assert sets_of(texts, 3, 1) == sets_of(texts, 3, 3)


def test_a_large_set_is_sorted():
    (found,) = [
        _core.shingle_sets(batch.data, batch.offsets, 1)
        for batch in [TextBatch.of([" ".join(map(str, range(50_000)))])]
    ]
    assert len(found[0]) == 50_000
    assert (np.diff(found[0].astype(object)) > 0).all()


def test_without_words_there_is_no_key():
    assert bands_of(["", "!?… — 😀", "a"], SMALL).any(axis=1).tolist() == [False, False, True]


def test_pair_jaccards():
    sets = np.array([1, 2, 3, 2, 3, 4, 5], np.uint64)
    offsets = np.array([0, 3, 7, 7, 7])
    pairs = np.array([[0, 1], [0, 0], [0, 2], [2, 3]])
    assert _core.pair_jaccards(sets, offsets, pairs).tolist() == [2 / 5, 1.0, 0.0, 0.0]


def test_linked_groups():
    links = np.array([[5, 3], [1, 2], [3, 4], [0, 5]])
    assert _core.linked_groups(links, 7).tolist() == [0, 1, 1, 0, 0, 0, 6]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, o: _core.minhash_bands(d, o, 0, 8, 5, 1), "0 bands of 8 rows"),
        (lambda d, o: _core.minhash_bands(d, o, 1 << 40, 1 << 40, 5, 1), "bands of"),
        (lambda d, o: _core.minhash_bands(d, o, 1, 1, 0, 1), "ngram is 0"),
        (lambda d, o: _core.shingle_sets(d, o, 1 << 20), "ngram is 1048576"),
        (lambda d, o: _core.text_hashes(d, o + 7), "offsets"),
        (lambda d, o: _core.pair_jaccards(o.astype(np.uint64), o, np.array([[0, 1]])), "set 1 of 1"),
        (lambda d, o: _core.linked_groups(np.array([[0, 3]]), 3), "node 3 of 3"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.zeros(2, np.uint8), np.array([0, 2]))


@pytest.mark.parametrize("text", ["ສະບາຍດີ ທ່ານ", "မင်္ဂလာပါ ခင်ဗျား", "ជំរាបសួរ លោក", "สวัสดี ครับ", "你好 世界 カタカナ"])
def test_scripts_without_spaces_are_split_as_the_twin_splits_them(text):
    batch = TextBatch.of([text])
    sets, offsets = _core.shingle_sets(batch.data, batch.offsets, 2)
    assert set(sets.tolist()) == reference.shingles(text, 2)
    assert offsets[-1] > 3
