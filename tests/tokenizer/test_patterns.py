import dataclasses
import itertools
import json
import pickle
import re
import time

import pytest
import regex
from hypothesis import assume, example, given
from hypothesis import strategies as st

from textmill import Tokenizer, _core
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer import reference, splitting
from textmill.tokenizer.character_sets import set_of
from textmill.tokenizer.oniguruma import for_oniguruma, from_oniguruma
from textmill.tokenizer.patterns import GPT2, PATTERNS, pattern_from, pattern_named, to_pre_tokenizer
from textmill.tokenizer.regex_package import for_regex_package
from textmill.tokenizer.regexes import alternatives_of, tokens_of
from tokenizer.hard_text import examples, hard_bytes, hard_text
from tokenizer.odd_regexes import odd_regexes, text_of_two_cases
from tokenizer.test_scanner import native_split
from tokenizer.vocabularies import vocabulary

BACKTRACKING = [
    r"(?<=a)b|\w+|\s+",
    r"(\w)\1+|\w",
    r"\w+(?=\s\d)|.",
    r"(?>ab|a)c|[^c]",
    r"(?:a?)*b|.",
    r"\bword\b|\S",
    r"^\s+|\S+",
    r"(?i:\u00e9(?<!\u00c9))+|.",
    "(?s:.)",
    r"(?m:^\s|\S$)|a(?i)b(?-i)c|(?<=d)e",
    r"(?P<alternative_0>a)(?P=alternative_0)|(b)\g<2>|.",
]
LOOKALIKES = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"""

# Regexes of the subset, in which a backtracking engine has choices to make.
_sets = st.sampled_from(
    [
        "a",
        "b",
        "c",
        r"\s",
        r"\S",
        "[ab]",
        "[^a]",
        r"\p{L}",
        r"\p{N}",
        r"[^\s\p{L}]",
        "(?i:k)",
        "(?i:É)",
        "(?i:[^a-é])",
        r"(?i:\p{Lu})",
        ".",
        r"\w",
        "é",
        r"\n",
        "\\'",
    ]
)
_looks = st.sampled_from([r"(?!\S)", r"(?=a)", r"(?!b)", r"(?=\s|$)", "$", r"(?![^b])"])
_quantifiers = st.sampled_from(
    ["", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}?", "{2,}", "*+", "++", "?+", "{1,2}+"]
)
_quantified = st.tuples(_sets, _quantifiers).map("".join)
_plain_quantifiers = st.sampled_from(["", "*", "+", "?", "*?", "+?", "{2}", "{1,2}"])


def _extend(parts):
    sequences = st.lists(parts, min_size=1, max_size=3).map("".join)
    groups = st.lists(sequences, min_size=1, max_size=3).map("|".join)
    return st.tuples(groups, _plain_quantifiers).map(lambda pair: f"(?:{pair[0]}){pair[1]}")


regexes = st.lists(
    st.lists(
        st.recursive(st.one_of(_quantified, _quantified, _looks), _extend, max_leaves=5), min_size=1, max_size=4
    ).map("".join),
    min_size=1,
    max_size=4,
).map("|".join)
few_kinds = st.text(alphabet="aabbcK\u212a 1éÉ\n'", max_size=24)


@examples
@given(text_regex=regexes, text=few_kinds)
@example(text_regex="a*b|a", text="aaaa")
@example(text_regex="(?:a|ab)(?:c|bcd)?", text="abcd")
@example(text_regex=r"\s+(?!\S)|\s+?", text="   a")
def test_the_automaton_finds_what_a_backtracking_engine_finds(text_regex, text):
    try:
        _core.Splitter([text_regex])
    except ValueError:
        assume(False)
    pattern = pattern_from([text_regex])
    assert native_split(pattern, text.encode()) == list(reference.split(pattern, text.encode()))


@examples
@given(text_regex=odd_regexes, text=text_of_two_cases)
@example(text_regex="a(?i)b|c", text="aBC")
@example(text_regex="(?i:[]-a]|[^\\p{Lu}]+)", text="]_`ABab1")
def test_what_the_automaton_takes_both_engines_read_alike(text_regex, text):
    try:
        _core.Splitter([text_regex])
    except ValueError:
        return
    pattern = pattern_from([text_regex])
    assert native_split(pattern, text.encode()) == list(reference.split(pattern, text.encode()))


CASED_SETS = [
    "s",
    "[ßk]",
    "é",
    "[a-ÿ]",
    "[^a-zé]",
    r"\p{Lu}",
    r"\P{Lu}",
    r"[^\P{Lu}]",
    r"[\P{L}x]",
    r"\w",
    r"\S",
    "ι",
    "İ",
    "ı",
]


def characters_of(ranges):
    return {chr(code) for first, last in ranges for code in range(first, last + 1)}


@pytest.mark.parametrize("cased", CASED_SETS)
def test_every_character_is_equal_to_the_same_ones_in_each_engine(cased):
    text = "".join(chr(code) for code in range(0x20000) if not 0xD800 <= code <= 0xDFFF)
    found = {
        match.decode() for match, number in native_split(pattern_from([f"(?i:{cased})"]), text.encode()) if number == 0
    }
    expected = characters_of(set_of(cased, ignore_case=True))
    assert found == expected & set(text)
    assert found == set(regex.findall(for_regex_package(tokens_of(f"(?i:{cased})")), text))


@pytest.mark.peer
# What \w holds differs between Rust and Oniguruma, and patterns follow the latter.
@pytest.mark.parametrize("cased", [cased for cased in CASED_SETS if cased != r"\w"])
def test_characters_are_equal_to_those_that_tiktoken_finds_equal(cased):
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {bytes([byte]): byte for byte in range(256)}
    encoding = tiktoken.Encoding("case", pat_str=f"(?i:{cased})", mergeable_ranks=ranks, special_tokens={})
    text = "".join(chr(code) for code in range(0x20000) if not 0xD800 <= code <= 0xDFFF)
    expected = characters_of(set_of(cased, ignore_case=True))
    # tiktoken leaves out what its regex does not match.
    found = encoding.decode(encoding.encode_ordinary(text))
    assert found == "".join(character for character in text if character in expected)


@examples
@given(text_regex=regexes, before=few_kinds, after=few_kinds)
def test_where_a_splitter_can_cut_a_cut_changes_no_piece(text_regex, before, after):
    for text in (text_regex, rf"'r?|\p{{L}}+|{text_regex}", rf"{text_regex}|\w+|\s+(?!\S)"):
        try:
            splitter = _core.Splitter([text])
        except ValueError:
            continue
        for block in (before, after, before + "K " + after):
            if cut := _core.last_cut([splitter], block.encode()):
                parts = [before.encode() + block.encode()[:cut], block.encode()[cut:] + after.encode()]
                whole = _core.split(splitter, b"".join(parts))[0].tolist()
                first, second = (_core.split(splitter, part)[0].tolist() for part in parts)
                assert whole == first + [len(parts[0]) + end for end in second]


@pytest.mark.parametrize("text_regex", BACKTRACKING)
@examples
@given(text=hard_bytes)
def test_what_the_automaton_refuses_is_split_by_the_regex_package(text_regex, text):
    with pytest.raises(ValueError):
        _core.Splitter([text_regex])
    pattern = pattern_named(text_regex)
    split = native_split(pattern, text)
    assert b"".join(piece for piece, _ in split) == text
    assert split == list(reference.split(pattern, text))
    assert _core.last_cut([pattern.splitter()], text + b"word and") == 0


@pytest.mark.peer
@pytest.mark.parametrize("text_regex", [r"(?<=a)b|\w+|\s+", r"(\w)\1+|\w", r"\w+(?=\s\d)|.", r"\bword\b|\S", "x?"])
@examples
@given(text=hard_text)
@example(text="ab aab b xx 12 word words\n x")
def test_the_fallback_splits_as_hugging_face_does(text_regex, text):
    from tokenizers import Regex, pre_tokenizers

    theirs = pre_tokenizers.Split(Regex(text_regex), "isolated").pre_tokenize_str(text)
    assert [piece.decode() for piece, _ in native_split(pattern_named(text_regex), text.encode())] == [
        p for p, _ in theirs
    ]


def test_the_fallback_gives_up_in_time_and_names_the_pattern(monkeypatch):
    monkeypatch.setattr(splitting, "_TIMEOUT_S", 0.2)
    slow = pattern_named(r"(?:a|aa)+(?<=b)$|(a*)*\1c")
    start = time.process_time()
    with pytest.raises(ConfigError, match=r"\(a\*\)\*.* took more than 0\.2 s to split a text of 40 bytes"):
        _core.split(slow.splitter(), b"a" * 40)
    assert time.process_time() - start < 5


def test_time_that_goes_to_others_does_not_count(monkeypatch):
    """On a busy machine, or beside other threads, only the clock on the wall goes on."""
    splitter, text = pattern_named(r"(?<=a)b|\w+|\s+").splitter(), b"word " * 100
    expected = _core.split(splitter, text)[0].tolist()
    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    for clock in ("monotonic", "perf_counter", "time", "process_time"):
        monkeypatch.setattr(time, clock, itertools.count(0.0, 60.0).__next__)
    assert _core.split(splitter, text)[0].tolist() == expected
    monkeypatch.setattr(time, "thread_time", itertools.count(0.0, 60.0).__next__)
    with pytest.raises(ConfigError, match="took more than"):
        _core.split(splitter, text)


def test_an_error_in_a_thread_of_the_encoder_reaches_the_caller(monkeypatch):
    tokenizer = Tokenizer.train(iter(["some words some"]), 260, pattern=r"(?<=a)b|\w+|\s+")
    texts = ["ab some words", "x ab"] * 50
    expected = [tokenizer.encode(text) for text in texts]
    assert tokenizer.encode_batch(texts, threads=4).tolist() == expected
    monkeypatch.setattr(splitting, "_TIMEOUT_S", -1.0)
    with pytest.raises(ConfigError, match="took more than"):
        tokenizer.encode_batch(texts, threads=4)


def test_a_function_that_does_not_tile_the_text_is_refused():
    for ends in ([], [(1, 0)], [(3, 0)], [(1, 0), (1, 0), (2, 0)]):
        with pytest.raises(ValueError, match="byte"):
            _core.split(_core.Splitter(["x"], lambda _, ends=ends: ends), b"ab")


@pytest.mark.parametrize(
    ("text_regex", "feature"),
    [
        ("(?<=a)b", "a lookbehind at byte"),
        (r"(a)\1", "a backreference"),
        ("(?=ab)", "a lookahead of more than one character"),
        ("(?>a|b)", "an atomic group of more than"),
        ("(?:ab)++", "a possessive quantifier of more than one character"),
        ("(?:a?)*", "a repetition of what can match nothing"),
        ("^a", r"an anchor \^"),
        (r"\bx", r"the escape \\b"),
        (r"\p{Emoji}", "the property Emoji"),
        ("[a[b]]", "a class inside a class"),
        ("[a-z&&[b]]", "a set operation"),
        ("a{1,5000}", "a quantifier above 1000"),
        ("(a", r"without its \)"),
        ("(?:[ab]*a[ab]{12})+", "states"),
        ("(" * 100 + "a" + ")" * 100, "nested more than 64 deep"),
        ("\\p\u014c+", "a property of one letter that is none of ASCII"),
    ],
)
def test_the_automaton_names_what_it_refuses(text_regex, feature):
    with pytest.raises(ValueError, match=feature):
        _core.Splitter([text_regex])


@pytest.mark.parametrize(
    "text_regex",
    [
        "(a",
        "a)",
        "[a",
        "(?<n",
        r"\X",
        r"\p{Emoji}+",
        "[a[b]]",
        "[a-z&&b]",
        "*",
        r"\uD800",
        "a" * 70_000 + "(",
        "(" * 9999,
        "\ud800+",
    ],
)
def test_what_cannot_be_reproduced_is_a_wrong_pattern(text_regex):
    with pytest.raises(ConfigError):
        pattern_named(text_regex)
    with pytest.raises(ConfigError):
        pattern_from([text_regex, "a"])


@pytest.mark.parametrize("bad", [0, None, 3, "gpt3", "", "cl100"])
def test_a_word_that_is_no_pattern_is_refused(bad):
    with pytest.raises(ConfigError, match="unknown pattern"):
        pattern_named(bad)


def test_a_wrong_name_is_told_the_nearest():
    with pytest.raises(ConfigError, match='did you mean "deepseek-v3"'):
        pattern_named("deepseek_v3")


def test_no_stage_is_no_pattern():
    with pytest.raises(ConfigError, match="0 stages"):
        pattern_from([])


def test_a_pattern_is_found_by_its_regexes_under_the_older_name():
    for name, pattern in PATTERNS.items():
        assert pattern_from(pattern.regexes).name == {"llama3": "cl100k", "qwen3": "qwen2"}.get(name, name)
    assert pattern_from([LOOKALIKES]) is GPT2
    assert pattern_from([r"\w+", r"\d"]).name == r"\w+ then \d"


@examples
@given(text=hard_bytes)
def test_the_other_spelling_of_gpt2_splits_alike(text):
    ends, _ = _core.split(_core.Splitter([LOOKALIKES]), text)
    assert ends.tolist() == _core.split(GPT2.splitter(), text)[0].tolist()


def test_alternatives_are_cut_at_the_bars_that_are_in_no_group():
    assert alternatives_of(r"a|(?:b|c)|[|\]|]|\||d{1,2}") == ["a", "(?:b|c)", r"[|\]|]", r"\|", "d{1,2}"]
    assert alternatives_of(r"(a)\1|b") == [r"(a)\1|b"]


def test_regexes_for_other_engines():
    assert for_oniguruma(r"\p{N}{1,3}+|\s++$|(?:ab){2}+") == r"(?>\p{N}{1,3})|\s++\z|(?>(?:ab){2})"
    assert from_oniguruma(r"\p{N}{1,3}+|a$") == r"(?:\p{N}{1,3})+|a(?=\n|\z)"
    assert from_oniguruma(for_oniguruma(r"\p{N}{1,3}+|[^a-z]{2}+$|\s++$")) == r"\p{N}{1,3}+|[^a-z]{2}+$|\s++$"
    written = for_regex_package(tokens_of(r"[^\s\p{L}$-]$\P{N}\x41\'"))
    assert not re.search(r"\\[sSpPdDwWx]", written)
    assert regex.fullmatch(written + "?", "!1A'") is None
    assert regex.search(written, "!") is None


CUSTOM = [
    [r"\w+|\s+"],
    [r"\p{N}{1,3}+|\s++$|\p{L}+"],
    [r"\d", r"[^\r\n\p{L}\p{N}]?+\p{L}++|\s*[\r\n]|\s"],
    [r"[\x41-\x{5A}]+|(?i:'s|[a-z]{2})|.", r"$|\S"],
    [r"(?<=a)b|\w+", r"^\s+|\S"],
    *(pattern.regexes for pattern in PATTERNS.values()),
]


@pytest.mark.peer
@pytest.mark.parametrize("stage_regexes", CUSTOM)
@examples
@given(text=hard_text)
@example(text="ABC'S ab 1234 56  \n\n  ")
def test_the_written_pre_tokenizer_splits_alike_in_hugging_face(stage_regexes, text):
    from tokenizers import Tokenizer as Peer

    pattern = pattern_from(stage_regexes)
    blank = {"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": []}
    peer = Peer.from_str(json.dumps(blank | {"pre_tokenizer": to_pre_tokenizer(pattern)}))
    ends = [end for _, (_, end) in peer.pre_tokenizer.pre_tokenize_str(text)]
    lengths = [len(piece.decode()) for piece, _ in native_split(pattern, text.encode())]
    assert ends == [sum(lengths[: i + 1]) for i in range(len(lengths))]


@pytest.mark.parametrize("stage_regexes", CUSTOM)
def test_a_pattern_comes_back_from_a_tokenizer_json(stage_regexes, tmp_path):
    pattern = pattern_from(stage_regexes)
    trained = Tokenizer.train(iter(["Some words ab 12 '"]), 262, pattern="char").vocabulary
    tokenizer = Tokenizer(dataclasses.replace(trained, pattern=pattern))
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = Tokenizer.load(tmp_path / "tokenizer.json")
    text = "Ab's 1234 \n\n a  \n"
    assert loaded.encode(text) == tokenizer.encode(text)
    assert pickle.loads(pickle.dumps(loaded)).encode(text) == tokenizer.encode(text)


@pytest.mark.peer
@pytest.mark.parametrize("name", ["r50k_base", "cl100k_base", "o200k_base"])
@examples
@given(text=hard_text)
def test_pieces_of_tiktokens_own_patterns_are_tiktokens(name, text):
    tiktoken = pytest.importorskip("tiktoken")
    from tiktoken_ext import openai_public

    own = _pattern_of(openai_public, name)
    ranks = {bytes([byte]): byte for byte in range(256)}
    pieces = [piece for piece, _ in native_split(pattern_from([own]), text.encode())]
    # Each piece of a text becomes its bytes; with a merge for each piece as a whole, it becomes one token.
    ranks |= {piece: 256 + i for i, piece in enumerate(dict.fromkeys(p for p in pieces if len(p) > 1))}
    encoding = tiktoken.Encoding("pieces", pat_str=own, mergeable_ranks=ranks, special_tokens={})
    assert [encoding.decode_single_token_bytes(i) for i in encoding.encode(text)] == pieces


def _pattern_of(module, name):
    """The regex that a constructor of tiktoken's passes on, without the download of its ranks."""
    source = {"r50k_base": "r50k_pat_str", "cl100k_base": "cl100k_base", "o200k_base": "o200k_base"}[name]
    if hasattr(module, source) and isinstance(getattr(module, source), str):
        return getattr(module, source)
    original = module.load_tiktoken_bpe
    module.load_tiktoken_bpe = lambda *_, **__: {}
    try:
        return getattr(module, name)()["pat_str"]
    finally:
        module.load_tiktoken_bpe = original


@pytest.mark.peer
def test_named_patterns_are_written_as_their_owners_write_them():
    from tiktoken_ext import openai_public

    assert pattern_from([_pattern_of(openai_public, "o200k_base")]).name == "o200k"
    assert pattern_from([_pattern_of(openai_public, "r50k_base")]).name == "gpt2"
    assert pattern_from([_pattern_of(openai_public, "cl100k_base")]).name not in PATTERNS


@pytest.mark.peer
def test_tekken_is_written_as_mistral_writes_it():
    for name in ("tekken_240718.json", "tekken_240911.json"):
        content = json.loads(vocabulary(name).read_text(encoding="utf-8"))
        assert pattern_from([content["config"]["pattern"]]).name == "tekken"


@pytest.mark.peer
def test_deepseek_v3_is_written_as_its_tokenizer_writes_it():
    content = json.loads(vocabulary("deepseek-v3.json").read_text(encoding="utf-8"))
    steps = content["pre_tokenizer"]["pretokenizers"]
    assert pattern_from([step["pattern"]["Regex"] for step in steps[:-1]]).name == "deepseek-v3"


def test_training_takes_any_regex():
    tokenizer = Tokenizer.train(iter(["some words, some words"]), 262, pattern=r"\w+|\s+")
    assert tokenizer.pattern == r"\w+|\s+"
    assert [piece.alternative for piece in tokenizer.explain("some, x").pieces] == [
        r"\w+",
        "text that nothing matches",
        r"\s+",
        r"\w+",
    ]


def test_a_pre_tokenizer_that_cannot_be_reproduced_is_bad_data(tmp_path):
    path = tmp_path / "tokenizer.json"
    Tokenizer.train(iter(["words"]), 257, pattern=r"\w+|\s+").save(path)
    content = json.loads(path.read_text())
    for wrong in (r"\X", "[a[b]]", "(", r"\p{Emoji}"):
        content["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = wrong
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match="cannot be reproduced"):
            Tokenizer.load(path)


def test_a_wrong_tier_is_not_taken_for_a_regex_that_needs_the_slower_engine(monkeypatch):
    monkeypatch.setenv("TEXTMILL_ISA", "sse9")
    with pytest.raises(ConfigError, match=r'TEXTMILL_ISA is "sse9"'):
        splitting.splitter_of((r"\w+|this one is compiled nowhere else",))
