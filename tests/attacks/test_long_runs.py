"""Texts made to be slow: their time may grow as n log n, and no faster, under any named pattern."""

import functools
import os
import time

import numpy as np
import pytest

from fakes.cpu_time import cpu_seconds
from textmill import Tokenizer, _core
from textmill.tokenizer.patterns import PATTERNS

SMALL, LARGE = 1 << 16, 1 << 20
# n log n takes 20 times as long for 16 times as much, and n * n 256 times. Caches and other processes do the rest.
MOST_GROWTH = 64
TIME_BOUND_S = float(os.environ.get("TEXTMILL_TIME_BOUND_S", "5"))

UNITS = {
    "letters": "a",
    "spaces": " ",
    "newlines": "\n",
    "marks": "\u0301",
    "marks of two classes": "\u0301\u0323",
    "cases": "aA",
    "digits": "1",
    "apostrophes": "'",
    "punctuation": "!",
    "two letters": "ab",
    "contractions": "'s",
    "lines": "a\n",
    "blank lines": "\n ",
    "Chinese": "中文",
    "syllables": "\u1112\u1161\u11ab",
    "emoji": "🤖",
}
UNITS_BYTES = {
    **{name: unit.encode() for name, unit in UNITS.items()},
    "0xFF": b"\xff",
    "leads": b"\xf0",
    "broken": b"\xe4\xb8",
}
DISTINCT_PATTERNS = {pattern.regexes: name for name, pattern in reversed(PATTERNS.items())}

units = pytest.mark.parametrize("unit", UNITS_BYTES.values(), ids=UNITS_BYTES)


def assert_grows_slowly(run, unit):
    small, large = (unit * (size // len(unit)) for size in (SMALL, LARGE))
    small_s = cpu_seconds(lambda: run(small), most=0)
    most = min(TIME_BOUND_S, MOST_GROWTH * max(small_s, 5e-3))
    assert cpu_seconds(lambda: run(large), most=most) < most


@functools.cache
def trained(pattern, unit):
    return Tokenizer.train(iter([unit * 64]), 300, pattern)  # merges that build long tokens of just this unit


@pytest.mark.parametrize("pattern", sorted(DISTINCT_PATTERNS.values()))
@units
def test_encoding(pattern, unit):
    tokenizer = trained(pattern, unit)
    assert_grows_slowly(tokenizer.encode, unit)
    text = unit * (LARGE // len(unit))
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == text


@units
def test_counting_and_batches(unit):
    tokenizer = trained("cl100k", unit)
    assert_grows_slowly(trained("gpt2", unit).count, unit)
    assert_grows_slowly(lambda text: tokenizer.encode_batch([text, text[:1000]], threads=2), unit)


@units
def test_normalising(unit):
    assert_grows_slowly(_core.nfc, unit)
    assert_grows_slowly(_core.nfc_changes, unit)


def character_encoder(pieces, **options):
    pieces = ["<unk>", *pieces]
    kinds = np.array([2] + [1] * (len(pieces) - 1), dtype=np.uint8)
    scores = -np.arange(len(pieces), dtype=np.float32)
    vocab = _core.CharacterVocab(pieces, kinds, scores, np.empty((0, 3), dtype=np.uint32), False)
    rules = {
        "dummy_prefix": 1,
        "dummy_suffix": False,
        "remove_extra_spaces": False,
        "escape_spaces": True,
        "charsmap": b"",
        "fuse_unknown": True,
        "splits_words": False,
        "whole_words": False,
    }
    return _core.CharacterEncoder(vocab, **(rules | options))


@pytest.mark.parametrize("shortens", [False, True])
@units
def test_merging_characters(unit, shortens):
    """Extra spaces are removed where text is normalised and unknown characters fused where it is merged: apart."""
    runs = {letter * length for letter in "aA'1\n▁中" for length in (1, 2, 4, 8)}
    encoder = character_encoder(sorted(runs), remove_extra_spaces=shortens, fuse_unknown=shortens)
    assert_grows_slowly(encoder.encode, unit)
    assert_grows_slowly(encoder.encode_with_spans, unit)


def test_a_charsmap_that_goes_round_in_circles_is_refused():
    letter = ord("a")
    units = np.zeros(512, dtype="<u4")
    units[letter] = letter << 10 | letter  # after an "a" it is where it was before
    blob = np.uint32(units.nbytes).tobytes() + units.tobytes() + b" \0"
    encoder = character_encoder(["a"], charsmap=blob)
    encoder.encode(b"a" * 500)
    start = time.process_time()
    with pytest.raises(ValueError, match="for more than 512 bytes"):
        encoder.encode(b"a" * 1_000_000)
    assert time.process_time() - start < 1


def test_a_user_defined_piece_of_great_length_is_refused():
    def build(length):
        pieces, kinds = ["<unk>", "a", "a" * length], np.array([2, 1, 4], dtype=np.uint8)
        return _core.CharacterVocab(
            pieces, kinds, np.zeros(3, dtype=np.float32), np.empty((0, 3), dtype=np.uint32), False
        )

    build(1024)
    with pytest.raises(ValueError, match="piece 2 is user-defined and holds 1025 bytes; it may hold 1024"):
        build(1025)
