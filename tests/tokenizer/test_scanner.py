import itertools

import pytest
from hypothesis import example, given

from fakes.cpu_time import cpu_seconds
from textmill import _core
from textmill.tokenizer import reference
from textmill.tokenizer.patterns import CL100K, PATTERNS, pattern_from
from tokenizer.hard_text import NOT_WHITESPACE, WHITESPACE, examples, hard_bytes, hard_text

patterns = pytest.mark.parametrize("pattern", PATTERNS.values(), ids=list(PATTERNS))


def native_split(pattern, text):
    ends, alternatives = _core.split(pattern.splitter(), text)
    begins = [0, *ends.tolist()]
    return [
        (text[a:b], number) for (a, b), number in zip(itertools.pairwise(begins), alternatives.tolist(), strict=True)
    ]


def pieces_of(name, text):
    return [piece.decode() for piece, _ in native_split(PATTERNS[name], text.encode())]


@patterns
@examples
@given(text=hard_bytes)
@example(text=b"a\n  ")
@example(text="  it'ſ\u2028\u00a0x".encode())
@example(text=b"")
def test_pieces_and_alternatives_are_those_of_a_backtracking_engine(pattern, text):
    assert native_split(pattern, text) == list(reference.split(pattern, text))


@patterns
@pytest.mark.parametrize("length", [1, 2, 3])
def test_every_short_string_of_one_character_of_each_kind(pattern, length):
    for characters in itertools.product("aA1.'s \n\t中\u0301/", repeat=length):
        text = "".join(characters).encode()
        assert native_split(pattern, text) == list(reference.split(pattern, text)), text


@patterns
@pytest.mark.parametrize("unit", ["a", "A", " ", "\n", "\r\n", "\u0301", "中", "1", "'", ".", "aA", "a\u0301", " \n"])
@pytest.mark.alone
def test_a_million_of_anything_takes_well_under_a_second(pattern, unit):
    text = (unit * 1_000_000).encode()[: 1_000_000 * len(unit.encode()) // len(unit)]
    splitter = pattern.splitter()
    assert cpu_seconds(lambda: _core.split(splitter, text), most=1) < 1
    assert _core.split(splitter, text)[0][-1] == len(text)


@patterns
@pytest.mark.parametrize("byte", [b"\xff", b"\x80", b"\xe2\x82", b"\xf0"])
@pytest.mark.alone
def test_a_million_bytes_that_are_no_text_too(pattern, byte):
    splitter, text = pattern.splitter(), byte * 1_000_000
    assert cpu_seconds(lambda: _core.split(splitter, text), most=1) < 1
    assert _core.split(splitter, text)[0][-1] == len(text)


@patterns
@pytest.mark.parametrize("text", ["word and", "word\nand", "Слово и", "слова, и", "これは。", "तुम और", "汉字\n", "1 2"])
def test_every_named_pattern_can_be_cut_in_any_language(pattern, text):
    assert _core.last_cut([pattern.splitter()], text.encode()) > 0


@patterns
@examples
@given(text=hard_text)
def test_a_cut_changes_no_piece_of_any_text_around_it(pattern, text):
    data = text.encode()
    while cut := _core.last_cut([pattern.splitter()], data):
        before, after = data[:cut], text.encode()[cut:]
        assert native_split(pattern, before) + native_split(pattern, after) == native_split(pattern, before + after)
        data = before


@examples
@given(block=hard_bytes, before=hard_bytes, after=hard_bytes)
def test_a_cut_found_in_a_block_of_bytes_holds_in_the_whole_text(block, before, after):
    for pattern in PATTERNS.values():
        if cut := _core.last_cut([pattern.splitter()], block):
            first, second = before + block[:cut], block[cut:] + after
            assert native_split(pattern, first) + native_split(pattern, second) == native_split(pattern, first + second)


def test_a_cut_of_two_patterns_is_one_of_both():
    gpt2, char = PATTERNS["gpt2"].splitter(), PATTERNS["char"].splitter()
    assert _core.last_cut([char], b"word and") == 7
    assert _core.last_cut([gpt2, char], b"word and") == 4
    assert _core.last_cut([], b"word and") == 0
    assert _core.last_cut([gpt2], b"") == 0
    assert _core.last_cut([gpt2], "то и".encode(), ascii_only=True) == 0
    assert _core.last_cut([gpt2], "то, и".encode(), ascii_only=True) == 5


@pytest.mark.parametrize("regex", ["a+ ?", r"\w+\s", "[a-z]+(?= )", "b+", r"(?<!x)y|\w+"])
def test_a_pattern_that_holds_on_to_a_space_cannot_be_cut_there(regex):
    assert _core.last_cut([pattern_from([regex]).splitter()], b"word ") == 0


# The traps of patterns that look alike.


def test_the_two_forms_of_cl100k_split_otherwise():
    assert pieces_of("cl100k", "a\n  ") == ["a", "\n", "  "]
    tiktokens = pattern_from(
        [
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
            r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
        ]
    )
    assert tiktokens.name not in PATTERNS
    assert [piece for piece, _ in native_split(tiktokens, b"a\n  ")] == [b"a", b"\n  "]


def test_a_later_stage_sees_the_end_of_its_piece():
    assert pieces_of("smollm", "foo  1") == ["foo", "  ", "1"]
    assert pieces_of("gpt2", "foo  1") == ["foo", " ", " 1"]


def test_the_long_s_and_the_kelvin_sign_are_letters_where_case_is_ignored():
    assert pieces_of("cl100k", "it'ſ") == ["it", "'ſ"]
    assert pieces_of("gpt2", "it'ſ") == ["it", "'", "ſ"]
    assert [piece.decode() for piece, _ in native_split(pattern_from(["(?i:k)"]), "Kk\u212a".encode())] == list(
        "Kk\u212a"
    )


def test_only_25_code_points_are_whitespace():
    ranges = _core.unicode_ranges("whitespace").tolist()
    found = {chr(code) for first, last in ranges for code in range(first, last + 1)}
    assert len(found) == 25
    assert found >= set(WHITESPACE)
    assert not found & set(NOT_WHITESPACE)


def test_whitespace_gives_back_a_whole_character():
    assert pieces_of("cl100k", "a \u3000b") == ["a", " ", "\u3000b"]
    assert pieces_of("gpt2", "a \u3000b") == ["a", " ", "\u3000", "b"]


def test_marks_split_words_or_do_not():
    assert pieces_of("gpt2", "हिन्दी") == ["ह", "ि", "न", "्", "द", "ी"]
    assert pieces_of("o200k", "हिन्दी") == ["हिन्दी"]
    assert pieces_of("deepseek-v3", "हिन्दी") == ["हिन्दी"]
    assert pieces_of("gpt2", "Ⅷ²½") == ["Ⅷ²½"]


def test_o200k_tells_upper_case_from_lower():
    assert pieces_of("o200k", "中文ABC") == ["中文", "ABC"]
    assert pieces_of("cl100k", "中文ABC") == ["中文ABC"]
    assert pieces_of("o200k", "ABCd") == ["ABCd"]
    assert pieces_of("o200k", "HELLO's") == ["HELLO's"]
    assert pieces_of("tekken", "HELLO's 12") == ["HELLO", "'s", " ", "1", "2"]


def test_gaps_are_pieces():
    assert native_split(pattern_from(["[a-z]+"]), b"ab 12 cd") == [(b"ab", 0), (b" 12 ", _core.GAP), (b"cd", 0)]


def test_a_match_of_nothing_ends_a_gap_and_does_not_loop():
    split = native_split(pattern_from(["x?"]), b"abx")
    assert split == [(b"a", _core.GAP), (b"b", _core.GAP), (b"x", 0)]


def test_an_unknown_property_is_refused():
    with pytest.raises(ValueError, match="no property"):
        _core.unicode_ranges("nothing")


def _peers_split(stages, text):
    from tokenizers import Regex, pre_tokenizers

    pieces = [text]
    for stage in stages:
        splitter = pre_tokenizers.Split(Regex(stage), "isolated")
        pieces = [part for piece in pieces for part, _ in splitter.pre_tokenize_str(piece)]
    return pieces


@pytest.mark.peer
@pytest.mark.parametrize("name", ["L", "N", "M", "P", "S", "Z", "Lu", "Ll", "Lt", "Lm", "Lo", "Nd", "Han", "Hiragana"])
def test_properties_of_all_code_points_are_those_of_hugging_face(name):
    _assert_same_class(name, rf"\p{{{name}}}")


@pytest.mark.peer
@pytest.mark.parametrize(("name", "regex"), [("whitespace", r"\s"), ("word", r"\w"), ("Nd", r"\d")])
def test_short_classes_are_those_of_hugging_face(name, regex):
    _assert_same_class(name, regex)


def _assert_same_class(name, regex):
    from tokenizers import Regex, pre_tokenizers

    codes = [code for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    splitter = pre_tokenizers.Split(Regex(regex + "+"), "removed", invert=True)
    pieces = splitter.pre_tokenize_str("".join(map(chr, codes)))
    theirs = {code for _, (begin, end) in pieces for code in codes[begin:end]}
    ours = {code for first, last in _core.unicode_ranges(name).tolist() for code in range(first, last + 1)}
    assert ours == theirs


@pytest.mark.peer
@patterns
@examples
@given(text=hard_text)
def test_pieces_are_those_of_hugging_face(pattern, text):
    assert [piece.decode() for piece, _ in native_split(pattern, text.encode())] == _peers_split(pattern.regexes, text)


@pytest.mark.peer
def test_llama3_and_cl100k_are_one_pattern():
    assert pattern_from(CL100K.regexes).name == "cl100k"
    assert PATTERNS["llama3"].regexes == CL100K.regexes
