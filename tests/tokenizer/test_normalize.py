"""NFC against Hugging Face's, and the way back from normalised text to the text as it was."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.cpu_time import cpu_seconds
from textmill import _core
from textmill.tokenizer.normalize import Segment, normalize, with_prefix_space
from tokenizer.hard_text import examples, hard_bytes

# What composes, what is reordered, what only decomposes, Hangul in pieces and whole, and what lies between.
COMPOSING = (
    "aeouAKs\u0301\u0300\u0302\u0323\u0345\u0316\u0334\u1112\u1161\u11ab\uac00\ud558é\u1ea1ậ\u212a\u2126\u0344"
    "\u0958\ufb2c"
)
composing_text = st.text(alphabet=COMPOSING + "\u09c7\u09be\u0b47\u0b56 x\U0001109b\U000110ba", max_size=30)


def theirs(text):
    return pytest.importorskip("tokenizers").normalizers.NFC().normalize_str(text)


@pytest.mark.peer
def test_every_code_point_alone_and_between_marks():
    """Nothing composes across a "|", so that many stand in one text."""
    for begin in range(0, 0x110000, 64):
        if 0xD800 <= begin <= 0xDFFF:
            continue
        characters = map(chr, range(begin, begin + 64))
        text = "|".join(f"{c}|e\u0302{c}\u0316x|\u1100{c}\u11a8" for c in characters)
        assert _core.nfc(text).decode() == theirs(text), f"U+{begin:04X} to U+{begin + 63:04X}"


@pytest.mark.peer
@examples
@given(text=st.one_of(composing_text, st.text(max_size=30)))
def test_any_text(text):
    assert _core.nfc(text).decode() == theirs(text)


@pytest.mark.peer
def test_the_tables_are_older_than_unicode_13():
    assert _core.nfc("\U00011935\U00011930").decode() == "\U00011935\U00011930" == theirs("\U00011935\U00011930")


def test_bytes_that_are_not_utf8_stay_and_keep_characters_apart():
    assert _core.nfc(b"e\xff\xcc\x81") == b"e\xff\xcc\x81"
    assert _core.nfc(b"\xffe\xcc\x81\xc3") == b"\xff\xc3\xa9\xc3"
    assert _core.nfc(b"\xed\xa0\x80e\xcc\x81") == b"\xed\xa0\x80\xc3\xa9"


def test_text_in_nfc_is_not_copied():
    text = "naïve 中文 한국어".encode()
    assert _core.nfc(text) is text


@examples
@given(text=st.one_of(hard_bytes, composing_text.map(str.encode)))
def test_changes_say_what_became_what(text):
    normalized, changes = _core.nfc_changes(text)
    assert normalized == _core.nfc(text)
    assert _core.nfc(normalized) == normalized
    to_at = from_at = 0
    for to_begin, to_end, from_begin, from_end in changes.tolist():
        assert normalized[to_at:to_begin] == text[from_at:from_begin]
        assert normalized[to_begin:to_end] == _core.nfc(text[from_begin:from_end]) != text[from_begin:from_end]
        to_at, from_at = to_end, from_end
    assert normalized[to_at:] == text[from_at:]


@examples
@given(text=st.one_of(hard_bytes, composing_text.map(str.encode)), begin=st.integers(0, 9))
def test_places_ascend_to_the_end_of_the_text(text, begin):
    segment = Segment(begin, text, normalize(text, "nfc"))
    places = segment.original_places(np.arange(len(segment.text) + 1)).tolist()
    assert places == sorted(places)
    assert (places[0], places[-1]) == (begin, begin + len(text))


def test_a_place_inside_changed_characters_is_their_end():
    segment = Segment(0, "xe\u0301y".encode(), "xéy".encode())
    assert segment.original_places(np.arange(5)).tolist() == [0, 1, 4, 4, 5]


@pytest.mark.parametrize(
    "unit", ["\u0301", "\u0301\u0316\u0345\u0334", "\u1100\u1161", "é", "a\u0301", "\U0001109b\U000110ba"]
)
@pytest.mark.alone
def test_long_runs_take_no_longer_than_sorting(unit):
    text = "a" + unit * (1_000_000 // len(unit))
    most = float(os.environ.get("TEXTMILL_TIME_BOUND_S", "1"))
    assert cpu_seconds(lambda: _core.nfc_changes(text), most=most) < most


def test_the_space_before_a_text():
    assert [with_prefix_space(text) for text in (b"", b"x", b" x", b"\tx")] == [b"", b" x", b" x", b" \tx"]
