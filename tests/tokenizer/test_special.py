import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.special import AddedTokens
from textmill.tokenizer.vocabulary import AddedToken
from tokenizer.hard_text import examples

TEXT = "a<|im_end|>b<|endoftext|>"


def found(tokens, text):
    return [part.text if part.token_id is None else part.token_id for part in tokens.split(text, "parse")]


def test_special_tokens_are_text_unless_asked_for(cl100k):
    ids = cl100k.encode(TEXT)
    assert not set(ids) & set(cl100k.special_tokens.values())
    assert cl100k.decode(ids) == TEXT


def test_parse_makes_them_tokens(cl100k):
    assert cl100k.encode(TEXT, special="parse") == [*cl100k.encode("a"), 2, *cl100k.encode("b"), 0]
    assert cl100k.decode(cl100k.encode(TEXT, special="parse")) == TEXT
    ids, spans = cl100k.encode_with_spans("é<|im_end|>", special="parse")
    assert spans[-1] == (2, 12)
    assert cl100k.count(TEXT, special="parse") == 4
    assert ids[-1] == 2


def test_a_set_names_those_to_parse(cl100k):
    ids = cl100k.encode(TEXT, special={"<|im_end|>"})
    assert ids == [*cl100k.encode("a"), 2, *cl100k.encode("b<|endoftext|>")]
    assert cl100k.encode(TEXT, special=frozenset()) == cl100k.encode(TEXT)


def test_forbid_names_the_token_it_found(cl100k):
    assert cl100k.encode("plain", special="forbid") == cl100k.encode("plain")
    with pytest.raises(DataError, match=r"holds the special token \"<\|im_end\|>\" \(id 2\)"):
        cl100k.encode(TEXT, special="forbid")
    with pytest.raises(DataError, match="im_end"):
        cl100k.encode_batch(["plain", TEXT], special="forbid")


def test_batches_follow_the_same_policy(cl100k):
    texts = [TEXT, "", "<|im_start|>", "plain"]
    for special in ("text", "parse", {"<|im_end|>"}):
        batch = cl100k.encode_batch(texts, threads=2, special=special)
        assert batch.tolist() == [cl100k.encode(text, special=special) for text in texts]


def test_an_unknown_policy_or_token_is_named(cl100k):
    with pytest.raises(ConfigError, match='did you mean "parse"'):
        cl100k.encode("x", special="pars")
    with pytest.raises(ConfigError, match=r'did you mean "<\|im_end\|>"'):
        cl100k.encode("x", special={"<|im_endd|>"})


def test_a_set_of_unknown_tokens_names_the_known_ones_and_a_list_is_no_set(cl100k):
    with pytest.raises(ConfigError, match=r'no special token is "nope". There are <\|'):
        cl100k.encode("text", special={"nope"})
    with pytest.raises(ConfigError, match=r"special is a list, and must be a set: special=set\(...\)"):
        cl100k.encode("text", special=["<|endoftext|>"])


def test_the_leftmost_token_wins_and_of_several_there_the_longest():
    tokens = AddedTokens(tuple(AddedToken(i, text) for i, text in enumerate(["ab", "abcd", "bcde", "b", "é", "]"])))
    assert found(tokens, b"abc") == [0, b"c"]
    assert found(tokens, b"xabcdez") == [b"x", 1, b"ez"]
    assert found(tokens, b"bcdeb") == [2, 3]
    assert found(tokens, "é\xa9]".encode()) == [4, "\xa9".encode(), 5]
    assert found(tokens, b"") == []


def test_normalized_tokens_are_looked_for_in_what_the_others_leave():
    tokens = AddedTokens((AddedToken(0, "abc", is_normalized=True), AddedToken(1, "bc")))
    assert found(tokens, b"abc") == [b"a", 1]


def hugging_face(tokens, normalizer, prefix_space):
    """A tokenizer of bytes, made by Hugging Face, and the same read by textmill."""
    theirs = pytest.importorskip("tokenizers")
    alphabet = sorted(theirs.pre_tokenizers.ByteLevel.alphabet())
    made = theirs.Tokenizer(theirs.models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    made.pre_tokenizer = theirs.pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    made.decoder = theirs.decoders.ByteLevel()
    if normalizer:
        made.normalizer = theirs.normalizers.NFC()
    made.add_tokens([theirs.AddedToken(text, **flags) for text, flags in tokens.items()])
    return made


flag_sets = st.fixed_dictionaries(
    {name: st.booleans() for name in ("single_word", "lstrip", "rstrip", "normalized", "special")}
)
ALPHABET = ["a", "b", "<", "|", " ", "\n", "\u3000", "é", "e", "\u0301", "\u200d", "²", "_", "中"]


@pytest.mark.peer
@examples
@given(
    tokens=st.dictionaries(
        st.lists(st.sampled_from(ALPHABET), min_size=2, max_size=4).map("".join), flag_sets, min_size=1, max_size=6
    ),
    text=st.lists(st.sampled_from(ALPHABET), max_size=30).map("".join),
    data=st.data(),
    rules=st.tuples(st.booleans(), st.booleans()),
)
def test_added_tokens_are_found_where_hugging_face_finds_them(tmp_path, tokens, text, data, rules):
    if len({unicodedata.normalize("NFC", token) for token in tokens}) < len(tokens):
        return  # which of two is meant is left to chance there, and refused here
    inserted = data.draw(st.lists(st.sampled_from(sorted(tokens)), max_size=4))
    text = "".join(part for pair in zip(inserted, text.split("b"), strict=False) for part in pair) + text
    made = hugging_face(tokens, *rules)
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    expected = made.encode(text).ids
    ids, spans = tokenizer.encode_with_spans(text, special="parse")
    assert ids == expected
    assert tokenizer.encode(text, special="parse") == ids
    assert tokenizer.encode_batch([text, "a"], special="parse")[0].tolist() == ids
    assert tokenizer.count(text, special="parse") == len(ids)
    ends = [0, *(end for _, end in spans)]
    assert [begin for begin, _ in spans] == ends[:-1] == sorted(ends[:-1])
    assert ends[-1] == len(text.encode())
    tokenizer.save(tmp_path / "again.json")
    assert Tokenizer.load(tmp_path / "again.json") == tokenizer


@pytest.mark.peer
def test_what_goes_on_as_a_word_is_what_hugging_face_takes_for_one():
    made = hugging_face({"<>": {"single_word": True, "normalized": False}}, "", False)
    # Planes 4 to 13 hold no characters and 15 and 16 are private use: of these every 101st will do.
    places = [*range(0x40000), *range(0x40000, 0x110000, 101), *range(0xE0000, 0xE1000)]
    codes = [code for code in places if not 0xD800 <= code <= 0xDFFF and chr(code) not in "<>"]
    text = "".join(chr(code) + "<> " for code in codes)
    tokens = AddedTokens((AddedToken(256, "<>", is_single_word=True),))
    ours = [part.begin for part in tokens.split(text.encode(), "parse") if part.token_id == 256]
    assert made.encode(text).ids.count(256) == len(ours) > 100_000


def test_policies_see_every_added_token(tmp_path):
    made = hugging_face({"<w>": {"special": False}, "<c>": {"special": True}}, "", False)
    made.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer.load(tmp_path)
    assert not {256, 257} & set(tokenizer.encode("<w><c>"))
    assert tokenizer.encode("<w><c>", special="parse") == [256, 257]
    assert tokenizer.encode("<w><c>", special={"<w>"})[0] == 256
    for text in ("<w>", "<c>"):
        with pytest.raises(DataError, match=text):
            tokenizer.encode(text, special="forbid")


def test_tokens_that_are_the_same_once_normalised_are_refused():
    with pytest.raises(DataError, match="the same text once normalised"):
        AddedTokens((AddedToken(0, "é", is_normalized=True), AddedToken(1, "e\u0301", is_normalized=True)), "nfc")


def test_whitespace_of_many_bytes_is_taken_in_from_both_sides():
    tokens = AddedTokens((AddedToken(0, "<x>", strips_left=True, strips_right=True),))
    parts = tokens.split("a \u3000\x85<x>\u2028 b".encode(), "parse")
    assert [part.text for part in parts] == [b"a", " \u3000\x85<x>\u2028 ".encode(), b"b"]
