"""The native search for added tokens against its twin, and its time on texts that are hard for it."""

import os
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import _core
from textmill.base.errors import DataError
from textmill.tokenizer import reference_added_tokens as twin
from textmill.tokenizer.special import AddedTokens
from textmill.tokenizer.vocabulary import AddedToken
from tokenizer.hard_text import WHITESPACE, examples

BOUND_S = float(os.environ.get("TEXTMILL_TIME_BOUND_S", "5"))
LETTERS = ["a", "b", "<", " ", "\n", "\u3000", "é", "\u200d", "²", "_", "中"]
token_texts = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=5).map("".join)
bits = st.tuples(st.booleans(), st.booleans(), st.booleans())
texts = st.lists(
    st.one_of(st.sampled_from(LETTERS).map(str.encode), st.sampled_from([b"\xe3", b"\x80\x80", b"\xff", b"\xc3"])),
    max_size=40,
).map(b"".join)


def added(by_text):
    """Added tokens of (single_word, lstrip, rstrip) by their texts."""
    return tuple(
        AddedToken(7 + i, text, is_single_word=single, strips_left=left, strips_right=right)
        for i, (text, (single, left, right)) in enumerate(by_text.items())
    )


def rows(tokens, text):
    return [
        (p.begin, p.end, -1 if p.token_id is None else p.token_id) for p in AddedTokens(tokens).split(text, "parse")
    ]


@examples
@given(by_text=st.dictionaries(token_texts, bits, min_size=1, max_size=8), text=texts)
def test_tokens_are_found_where_the_twin_finds_them(by_text, text):
    tokens = added(by_text)
    assert rows(tokens, text) == list(twin.split(tokens, text))


@given(flags=bits, before=st.sampled_from([*WHITESPACE, "é"]), after=st.sampled_from([*WHITESPACE, "½", "9"]))
def test_every_kind_of_whitespace_and_word_around_a_token(flags, before, after):
    tokens = added({"<x>": flags})
    text = f"a {before}<x>{after} b<x>".encode()
    assert rows(tokens, text) == list(twin.split(tokens, text))


@pytest.mark.parametrize("length", [2, 300, 65_536])
@pytest.mark.parametrize("place", [0, 1, (1 << 18) - 300, (1 << 18) - 1, 1 << 18, (1 << 18) + 1])
def test_tokens_at_the_edges_of_blocks(length, place):
    long = "<" + "x" * (length - 2) + ">"
    tokens = added({long: (False,) * 3, "xx": (False,) * 3, "<": (False,) * 3})
    text = b"." * place + long.encode() + b"." * 10
    end = place + length
    before = [(0, place, -1)] if place else []
    assert rows(tokens, text) == [*before, (place, end, 7), (end, end + 10, -1)]


def test_runs_of_spaces_of_every_length():
    tokens = added({" " * length: (False,) * 3 for length in range(2, 180)})
    for length in (1, 2, 178, 179, 180, 357, 358, 359, 1000):
        text = b"x" + b" " * length + b"y"
        assert rows(tokens, text) == list(twin.split(tokens, text))


def long_runs():
    yes = (False, False, True)
    no = (False,) * 3
    yield "tokens that nearly match", {"a" * length + "b": no for length in range(500, 1000)}, b"a" * 1_000_000
    yield "a short one within long ones", {"a": no, "a" * 60_000 + "b": no}, b"a" * 500_000
    yield "whitespace taken in by each token in it", {" ": yes}, b" " * 300_000
    yield "whitespace before a token", {"<": (False, True, False)}, b" " * 1_000_000
    yield "no token alone", {"ab": (True, True, True)}, b"ab" * 500_000
    yield "runs of spaces", {" " * length: no for length in range(2, 180)}, b" " * 1_000_000


@pytest.mark.parametrize(("tokens", "text"), [pytest.param(*case, id=name) for name, *case in long_runs()])
@pytest.mark.alone
def test_time_grows_with_the_text_alone(tokens, text):
    matcher = AddedTokens(added(tokens))
    start = time.process_time()
    matcher.split(text, "parse")
    assert time.process_time() - start < BOUND_S  # 0.2 s at most here; anything quadratic takes minutes


@pytest.mark.alone
def test_two_thousand_tokens_are_found_quickly():
    tokens = added({f"<|reserved {i}{'x' * (i % 97)}|>": (False,) * 3 for i in range(2000)})
    text = b"The quick brown fox | jumps over <the> lazy dog.\n" * 200_000 + b"<|reserved 1999" + b"x" * 59 + b"|>"
    matcher = AddedTokens(tokens)
    start = time.process_time()
    parts = matcher.split(text, "parse")
    assert time.process_time() - start < BOUND_S
    assert [part.token_id for part in parts] == [None, 7 + 1999]


def test_texts_that_no_tokenizer_has_are_refused():
    for texts in (["x" * 65_537], ["x" * 65_000 + str(i) for i in range(10_000, 11_100)]):
        with pytest.raises(DataError, match=r"added tokens? ha(s|ve) \d+ bytes"):
            AddedTokens(added(dict.fromkeys(texts, (False,) * 3)))
    row = np.zeros((1, 4), dtype=np.uint32)
    with pytest.raises(ValueError, match="1 to 65536"):
        _core.AddedTokens([b""], row)
    with pytest.raises(ValueError, match="same text"):
        _core.AddedTokens([b"x", b"x"], np.zeros((2, 4), dtype=np.uint32))
    with pytest.raises(ValueError, match="a row of 4 numbers"):
        _core.AddedTokens([b"x", b"y"], row)
