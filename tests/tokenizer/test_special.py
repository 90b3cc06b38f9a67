import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.peer
@examples
@given(
    words=st.lists(st.text(alphabet="ab<|", min_size=1, max_size=4), min_size=1, max_size=6, unique=True),
    normalized=st.lists(st.booleans(), min_size=6, max_size=6),
    text=st.text(alphabet="ab<|é", max_size=30),
)
def test_added_tokens_are_found_where_hugging_face_finds_them(words, normalized, text):
    from tokenizers import AddedToken as TheirToken
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    theirs = Tokenizer(models.BPE({character: i for i, character in enumerate(alphabet)}, []))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = decoders.ByteLevel()
    added = [w for w in words if len(w) > 1]
    for word, flag in zip(added, normalized, strict=False):
        theirs.add_tokens([TheirToken(word, normalized=flag)])
    ours = AddedTokens(
        tuple(AddedToken(256 + i, w, is_normalized=f) for i, (w, f) in enumerate(zip(added, normalized, strict=False)))
    )
    found = [part for part in ours.split(text.encode(), "parse") if isinstance(part, int)]
    assert found == [i for i in theirs.encode(text).ids if i >= 256]
