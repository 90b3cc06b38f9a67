r"""Regexes from and to Oniguruma's way of writing, against Hugging Face's tokenizers, which hold that engine."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from textmill.base.errors import ConfigError
from textmill.tokenizer.oniguruma import for_oniguruma, from_oniguruma
from textmill.tokenizer.patterns import PATTERNS, pattern_from
from tokenizer.hard_text import examples
from tokenizer.odd_regexes import odd_regexes, text_of_two_cases
from tokenizer.test_scanner import native_split

pytestmark = pytest.mark.peer


def their_split(regex, text):
    from tokenizers import Regex, pre_tokenizers

    return [piece for piece, _ in pre_tokenizers.Split(Regex(regex), "isolated").pre_tokenize_str(text)]


def our_split(regex, text):
    return [piece.decode() for piece, _ in native_split(pattern_from([regex]), text.encode())]


@examples
@given(regex=odd_regexes, texts=st.lists(text_of_two_cases, min_size=1, max_size=4))
@example(regex=r"a\n^", texts=["a\n", "a\nb"])
@example(regex="a(?i)b|c", texts=["aB", "c", "aC"])
@example(regex=r"a\Z", texts=["xa\n", "xa", "xa\nb"])
def test_what_is_read_splits_as_oniguruma_does(regex, texts):
    try:
        theirs = [their_split(regex, text) for text in texts]
    except Exception:  # noqa: BLE001 - it raises no other; and what Oniguruma refuses is in no file
        return
    try:
        ours = from_oniguruma(regex)
        pattern_from([ours])
    except ConfigError:
        return
    assert [our_split(ours, text) for text in texts] == theirs, ours


@examples
@given(regex=odd_regexes, texts=st.lists(text_of_two_cases, min_size=1, max_size=4))
@example(regex="(?i:ss)", texts=["xßx", "sS"])
@example(regex=r"\pL+|[\p{Script=Han}\x41]", texts=["中A1b"])
@example(regex="a(?i)b|c", texts=["aB", "aC", "C"])
def test_what_is_written_splits_in_oniguruma_as_here(regex, texts):
    try:
        ours = [our_split(regex, text) for text in texts]
        written = for_oniguruma(regex)
    except ConfigError:
        return
    assert [their_split(written, text) for text in texts] == ours, written


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (r"\p{N}{1,3}+|a$", r"(?:\p{N}{1,3})+|a(?=\n|\z)"),
        (r"a{2}?", "(?:a{2})?"),
        (r"x\Z", r"x(?=\n?\z)"),
        (r"x\z", "x$"),
        ("^a", r"(?<![^\n])(?=[\s\S])a"),
        ("(?m:.)", r"(?:[\s\S])"),
        ("a(?i)b|c", "a(?i:b|c)"),
        ("(a(?i)b|c)d", "(a(?i:b|c))d"),
        (r"(?i:\p{Lu}a)", r"(?i:(?-i:\p{Lu})a)"),
        (r"\h", "[0-9A-Fa-f]"),
        ("a{b", r"a\{b"),
    ],
)
def test_what_means_something_else_in_oniguruma_is_translated(theirs, ours):
    assert from_oniguruma(theirs) == ours


@pytest.mark.parametrize(
    ("regex", "feature"),
    [
        ("(?s).", r"\(\?s\) is not reproduced"),
        ("(?x: a)", r"\(\?x: is not reproduced"),
        ("(?i:ss)", "takes some characters for several"),
        ("(?i:ß)", "takes some characters for several"),
        (r"(?i:[\p{Ll}])", "takes some characters for several"),
        (r"\pL", r"\\pL without braces"),
        (r"(a)\g<1>", "a call of a group"),
        (r"[\d-z]", "a range in"),
        ("[[:alpha:]]", "a class inside a class"),
        ("[a-z&&b]", "an operation on classes"),
        ("a**", "another quantifier"),
        ("a{2,1}", "from one number to a larger one"),
        (r"\xc3\xa9", "is a byte"),
        (r"\101", "not there"),
        (r"\X", "the escape"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name(regex, feature):
    with pytest.raises(ConfigError, match=feature):
        from_oniguruma(regex)


@pytest.mark.parametrize(
    "regex", [r"(?<=b|c(?=a))a", r"(?<!a$)", r"(?<!(a)\1)b", r"\A*a", r"(?:a|$)+b", r"(?<=(?m:^))a"]
)
def test_what_oniguruma_does_not_know_is_not_written(regex):
    with pytest.raises(ConfigError, match="not known to Oniguruma"):
        for_oniguruma(regex)


def test_named_patterns_are_the_same_in_both():
    for pattern in PATTERNS.values():
        for regex in pattern.regexes:
            assert from_oniguruma(regex) == for_oniguruma(regex) == regex
