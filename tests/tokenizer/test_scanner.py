import itertools

import pytest
import regex
from hypothesis import example, given

from textmill import _core
from textmill.tokenizer import reference
from textmill.tokenizer.patterns import CL100K, GPT2, PATTERNS
from tokenizer.hard_text import NOT_WHITESPACE, WHITESPACE, examples, hard_bytes, hard_text


def native_split(name, text):
    ends, alternatives = _core.split(name, text)
    begins = [0, *ends.tolist()]
    return [
        (text[a:b], number) for (a, b), number in zip(itertools.pairwise(begins), alternatives.tolist(), strict=True)
    ]


@pytest.mark.parametrize("name", sorted(PATTERNS))
@examples
@given(text=hard_bytes)
@example(text=b"a\n  ")
@example(text="  it'ſ\u2028\u00a0x".encode())
@example(text=b"")
def test_pieces_and_alternatives_are_those_of_the_regex(name, text):
    assert native_split(name, text) == list(reference.split(PATTERNS[name], text))


@pytest.mark.parametrize("name", sorted(PATTERNS))
@pytest.mark.parametrize("length", [1, 2, 3])
def test_every_short_string_of_one_character_of_each_kind(name, length):
    for characters in itertools.product("a1.'s \n\t", repeat=length):
        text = "".join(characters).encode()
        assert native_split(name, text) == list(reference.split(PATTERNS[name], text)), text


def test_the_original_form_of_cl100k_ends_a_piece_after_newlines():
    assert [piece for piece, _ in native_split("cl100k", b"a\n  ")] == [b"a", b"\n", b"  "]


def test_only_25_code_points_are_whitespace():
    ranges = _core.unicode_ranges("whitespace").tolist()
    found = {chr(code) for first, last in ranges for code in range(first, last + 1)}
    assert len(found) == 25
    assert found >= set(WHITESPACE)
    assert not found & set(NOT_WHITESPACE)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="unknown pattern"):
        _core.split("nothing", b"")
    with pytest.raises(ValueError, match="no class"):
        _core.unicode_ranges("nothing")


@pytest.mark.peer
@pytest.mark.parametrize(("name", "pattern"), [("letter", r"\p{L}"), ("number", r"\p{N}"), ("whitespace", r"\s")])
def test_classes_of_all_code_points_are_those_of_hugging_face(name, pattern):
    from tokenizers import Regex, pre_tokenizers

    codes = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    splitter = pre_tokenizers.Split(Regex(pattern + "+"), "removed", invert=True)
    pieces = splitter.pre_tokenize_str("".join(map(chr, codes)))
    theirs = {code for _, (begin, end) in pieces for code in codes[begin:end]}
    ours = {code for first, last in _core.unicode_ranges(name).tolist() for code in range(first, last + 1)}
    assert ours == theirs


@pytest.mark.peer
@pytest.mark.parametrize("pattern", [GPT2, CL100K], ids=lambda pattern: pattern.name)
@examples
@given(text=hard_text)
def test_pieces_are_those_of_hugging_face(pattern, text):
    from tokenizers import Regex, pre_tokenizers

    theirs = pre_tokenizers.Split(Regex(pattern.regex), "isolated").pre_tokenize_str(text)
    assert [piece.decode() for piece, _ in native_split(pattern.name, text.encode())] == [piece for piece, _ in theirs]


def test_reference_does_not_use_the_classes_of_the_regex_package():
    for pattern in PATTERNS.values():
        assert not regex.search(r"\\[pPsS]", reference.compiled(pattern).pattern)
