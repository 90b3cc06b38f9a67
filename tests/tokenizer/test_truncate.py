"""Truncating against encoding the whole text and cutting it, for every kind of tokenizer."""

import dataclasses
import os
import time

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError
from tokenizer import sentencepiece_models as models
from tokenizer.corpora import SPECIALS
from tokenizer.hard_text import examples, hard_bytes, hard_text

BOUND_S = float(os.environ.get("TEXTMILL_TIME_BOUND_S", "5"))
MISSING = b"\x04\x1d\xf2"
PIECES = [("\u2581", -1.0, 1), ("a", -2.0, 1), ("b", -2.1, 1), ("e", -2.2, 1), ("\u2581a", -3.0, 1)]
LONGER = [("ab", -4.0, 1), ("\u2581ab", -5.0, 1), ("\u2581\u2581", -6.0, 1), ("中", -7.0, 1), ("ba", -8.0, 1)]
KINDS = [
    *("plain", "nfc", "prefix space", "missing bytes", "taken in", "sentencepiece", "extra spaces", "suffix", "unknown")
]
texts = st.lists(
    st.one_of(
        hard_text,
        st.text("ab e\u0301\u0323\u2581中  \n", max_size=20),
        st.sampled_from([*SPECIALS, "\x04", "\x1da", "!\x04!", "\U000a0000", "e\u0301", " <|im_end|> ", "import"]),
    ),
    max_size=6,
).map("".join)


def variant(vocabulary, kind):
    """The tokenizer of a vocabulary with one thing changed."""
    if kind == "missing bytes":
        tokens = [b"" if len(token) == 1 and token in MISSING else token for token in vocabulary.tokens]
        return Tokenizer(dataclasses.replace(vocabulary, tokens=tuple(tokens), drops_bytes=True))
    if kind == "taken in":
        flags = {"strips_left": True, "strips_right": True}
        added = (*vocabulary.added[:1], *(dataclasses.replace(token, **flags) for token in vocabulary.added[1:]))
        return Tokenizer(dataclasses.replace(vocabulary, added=added))
    changes = {"plain": {}, "nfc": {"normalizer": "nfc"}, "prefix space": {"adds_prefix_space": True}}
    return Tokenizer(dataclasses.replace(vocabulary, **changes[kind]))


def sentencepiece(folder, kind):
    controls = [("<|im_end|>", 0.0, 3)]
    options = {
        "sentencepiece": {"byte_fallback": True},
        "extra spaces": {"byte_fallback": True, "remove_spaces": True},
        "suffix": {"byte_fallback": True, "suffix": True},
        "unknown": {"prefix": False},
    }[kind]
    unknown = models.CONTROLS + controls + (models.BYTES if options.get("byte_fallback") else []) + PIECES + LONGER
    path = folder / "tokenizer.model"
    path.write_bytes(models.model(unknown, **options))
    return Tokenizer.load(path)


@pytest.fixture(scope="module", params=KINDS)
def any_tokenizer(request, cl100k, tmp_path_factory):
    kind = request.param
    if kind in KINDS[:5]:
        return variant(cl100k.vocabulary, kind)
    return sentencepiece(tmp_path_factory.mktemp("model"), kind)


def head_of(tokenizer, text, num_tokens, special):
    """What the first tokens of the whole text hold, in whole characters of a str."""
    data = text if isinstance(text, bytes) else text.encode()
    ids, spans = tokenizer.encode_with_spans(text, special)
    if num_tokens >= len(ids):
        return text
    data = data[: spans[num_tokens - 1][1] if num_tokens else 0]
    return data if isinstance(text, bytes) else data.decode(errors="ignore")


def check(tokenizer, text, max_tokens, special):
    head = tokenizer.truncate(text, max_tokens, special)
    counts = [tokenizer.count(head_of(tokenizer, text, n, special), special) for n in range(max_tokens + 1)]
    heads = [n for n in range(max_tokens + 1) if head_of(tokenizer, text, n, special) == head]
    assert heads, "the cut is not between two tokens"
    assert tokenizer.count(head, special) <= max_tokens or not head
    most = heads[-1]
    assert most == max_tokens or counts[most + 1] > max_tokens, "one token more fits"


@examples
@given(text=texts, max_tokens=st.integers(0, 12), special=st.sampled_from(["text", "parse", "set"]))
@example(text="\x04", max_tokens=0, special="text")
@example(text="\x04\x04ab\x1d!\x04", max_tokens=1, special="text")
@example(text="a<|im_end|>", max_tokens=2, special="parse")
def test_it_is_encoding_and_cutting(any_tokenizer, text, max_tokens, special):
    special = {"<|im_end|>"} if special == "set" else special
    check(any_tokenizer, text, max_tokens, special)
    check(any_tokenizer, text.encode(), max_tokens, special)


@examples
@given(text=hard_bytes, max_tokens=st.integers(0, 12))
def test_any_bytes_are_cut(any_tokenizer, text, max_tokens):
    check(any_tokenizer, text, max_tokens, "text")


def test_a_long_text_is_truncated_at_the_budget(tokenizer):
    text = "one two three 45678 \n\n  naïve 中文 don't " * 5000
    head = tokenizer.truncate(text, 1000)
    assert 990 <= tokenizer.count(head) <= 1000


@pytest.mark.parametrize("special", ["text", "parse"])
@pytest.mark.parametrize("unit", ["one two three 45678 \n\n  naïve don't ", "a", "e\u0301", " "])
@pytest.mark.alone
def test_a_megabyte_takes_well_under_a_second(any_tokenizer, unit, special):
    text = unit * (1_000_000 // len(unit.encode()))
    num_tokens = any_tokenizer.count(text)
    for max_tokens in (10, max(num_tokens - 1, 0)):
        start = time.process_time()
        head = any_tokenizer.truncate(text, max_tokens, special)
        assert time.process_time() - start < BOUND_S * 2
        assert any_tokenizer.count(head) <= max_tokens


def test_what_is_wrong_is_named(cl100k):
    assert cl100k.truncate("one two three", np.int64(1)) == cl100k.truncate("one two three", 1)
    assert cl100k.truncate("one two three", 1 << 70) == "one two three"
    for wrong, message in ((-1, "max_tokens is -1"), (1.5, "max_tokens is a float"), (None, "max_tokens is a None")):
        with pytest.raises(ConfigError, match=message):
            cl100k.truncate("one two three", wrong)
    with pytest.raises(DataError, match="holds the special token"):
        cl100k.truncate("one <|im_end|>", 1, special="forbid")
    assert cl100k.truncate("a<|im_end|>b", 2, special="parse") == "a<|im_end|>"
