"""What why_not claims holds: merges are made or missing as it says, and what it asks for is enough."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import ConfigError
from textmill.tokenizer.patterns import pattern_named
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary
from tokenizer import sentencepiece_models as models
from tokenizer.hard_text import examples, fewer_examples, hard_bytes, hard_text, repetitive_text

ONE_PIECE = r"[\s\S]+"


def byte_vocabulary(*merges, pattern=ONE_PIECE, whole_pieces=False, extra_tokens=()):
    """A vocabulary of the 256 bytes (id = byte) and these merges, each a pair of bytes."""
    tokens = [bytes([byte]) for byte in range(256)]
    rows = []
    for left, right in merges:
        if left + right not in tokens:
            tokens.append(left + right)
        rows.append([tokens.index(left), tokens.index(right), tokens.index(left + right)])
    tokens += extra_tokens
    table = np.array(rows, dtype=np.uint32).reshape(-1, 3)
    return Vocabulary(pattern_named(pattern), tuple(tokens), table, whole_pieces=whole_pieces)


def with_merges(vocabulary, needed):
    """The same vocabulary with the merges that an answer asks for."""
    tokens, rows, new = list(vocabulary.tokens), vocabulary.merges.tolist(), {}
    for merge in needed:
        left, right = (
            new.get(text, next((i for i, token in enumerate(vocabulary.tokens) if token == text), None))
            for text in (merge.left, merge.right)
        )
        product = merge.token_id
        if product is None:
            product = len(tokens)
            tokens.append(merge.left + merge.right)
        new[merge.left + merge.right] = product
        rows.append([left, right, product])
    table = np.array(rows, dtype=np.uint32).reshape(-1, 3)
    return dataclasses.replace(vocabulary, tokens=tuple(tokens), merges=table)


@examples
@given(texts=repetitive_text, text=st.one_of(hard_text, st.text("aab \n'sé中", min_size=1, max_size=30)))
def test_the_merges_it_asks_for_make_the_text_one_token(texts, text):
    tokenizer = Tokenizer.train(iter(texts), 280, ONE_PIECE)
    assume(text)
    answer = tokenizer.why_not(text)
    ids = tokenizer.encode(text)
    assert [part.id for part in answer.encoded] == ids
    assert b"".join(part.text for part in answer.merged) == text.encode()
    for pair in zip(answer.merged, answer.merged[1:], strict=False):
        assert tokenizer.merge_table.find(pair[0].id, pair[1].id) is None
    assert (answer.reason == "reached") == (len(ids) == 1)
    if 1 < len(ids) <= 64:
        assert answer.reason == "no merge"
        assert 0 < len(answer.needed) < len(ids)
        assert len(Tokenizer(with_merges(tokenizer.vocabulary, answer.needed)).encode(text)) == 1


@st.composite
def random_vocabularies(draw):
    """Merges in any order: many never get their turn."""
    names, merges = [b"a", b"b", b"c"], []
    for _ in range(draw(st.integers(1, 25))):
        left, right = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        if len(left + right) <= 8 and (left, right) not in merges:
            merges.append((left, right))
            names.append(left + right)
    order = draw(st.permutations(merges))
    tokens = [bytes([byte]) for byte in range(256)] + list(dict.fromkeys(left + right for left, right in merges))
    rows = [[tokens.index(part) for part in (left, right, left + right)] for left, right in order]
    whole_pieces = draw(st.booleans())
    pattern = draw(st.sampled_from([ONE_PIECE, "gpt2", "[ab]+|c+"]))
    return Vocabulary(
        pattern_named(pattern), tuple(tokens), np.array(rows, dtype=np.uint32).reshape(-1, 3), whole_pieces=whole_pieces
    )


@examples
@given(vocabulary=random_vocabularies(), text=st.text("abc", min_size=1, max_size=12))
def test_what_it_claims_of_any_token_holds(vocabulary, text):
    tokenizer = Tokenizer(vocabulary)
    for token_id, token in list(enumerate(vocabulary.tokens))[256:]:
        answer = tokenizer.why_not(token)
        assert answer.token_id == token_id
        if answer.is_reached:
            assert token_id in tokenizer.encode(answer.example)
            continue
        steps, _ = Tokenizer(byte_copy(vocabulary))._encoder.trace(token)
        if answer.reason == "lost merge":
            wanted, taken = answer.lost.wanted, answer.lost.taken_by
            assert row_of(vocabulary, taken) in steps[:, 1:4].tolist()
            assert wanted.left + wanted.right in token
            assert row_of(vocabulary, wanted)
            assert answer.lost.shared in wanted.left + wanted.right
            assert answer.lost.shared in taken.left + taken.right
        if answer.is_reached is False:
            assert token_id not in tokenizer.encode(text)
            assert token_id not in tokenizer.encode(text + token.decode() + text)
        if answer.needed:
            completed = with_merges(byte_copy(vocabulary), answer.needed)
            assert Tokenizer(completed).encode(token) == [token_id]


def byte_copy(vocabulary):
    return dataclasses.replace(vocabulary, pattern=pattern_named(ONE_PIECE), whole_pieces=False)


def row_of(vocabulary, merge):
    row = vocabulary.merges[merge.rank].tolist()
    assert [vocabulary.tokens[part] for part in row] == [merge.left, merge.right, merge.left + merge.right]
    return row


@fewer_examples
@given(text=hard_bytes.filter(bool))
def test_it_answers_anything(tokenizer, text):
    answer = tokenizer.why_not(text[:1024])
    json.dumps(answer.to_dict())
    assert str(answer)
    assert [part.id for part in answer.encoded] == tokenizer.encode(text[:1024])
    assert b"".join(cut.text for cut in answer.cuts) == text[:1024]


def test_a_token_that_is_there():
    tokenizer = Tokenizer(byte_vocabulary((b"a", b"b")))
    answer = tokenizer.why_not("ab")
    assert (answer.token_id, answer.is_reached, answer.example) == (256, True, b"ab")
    assert str(answer) == "'ab' is token 256, and text becomes it: by itself."


def test_a_merge_that_is_missing():
    tokenizer = Tokenizer(byte_vocabulary((b"a", b"b"), (b"c", b"d")))
    assert str(tokenizer.why_not("abcd")) == (
        "'abcd' is not a token. By itself it is encoded as 'ab' + 'cd'. No merge joins 'ab' and 'cd'. "
        "It would take 1 more merge: 'ab' + 'cd'."
    )


def test_a_merge_that_comes_too_late():
    tokenizer = Tokenizer(byte_vocabulary((b"a", b"b"), (b"b", b"c"), (b"a", b"bc")))
    answer = tokenizer.why_not("abc")
    assert (answer.token_id, answer.is_reached, answer.reason) == (258, False, "lost merge")
    assert str(answer) == (
        "'abc' is token 258, and no text ever becomes it. By itself it is encoded as 'ab' + 'c'. "
        "It needs the merge 'b' + 'c' (rank 1), but 'a' + 'b' (rank 0) is made first and takes 'b'. "
        "It would take 1 more merge: 'ab' + 'c'."
    )


def test_a_token_that_no_merge_makes_is_reached_as_a_whole_piece_only():
    merges = [(b"a", b"b")]
    never = Tokenizer(byte_vocabulary(*merges, extra_tokens=(b"abc",))).why_not("abc")
    assert (never.is_reached, never.reason, never.unmade) == (False, "no merge", b"abc")
    assert "No merge makes it." in str(never)
    whole = Tokenizer(byte_vocabulary(*merges, extra_tokens=(b"abc",), whole_pieces=True)).why_not("abc")
    assert (whole.is_reached, whole.example) == (True, b"abc")


def test_a_text_that_the_pattern_cuts(cl100k):
    answer = cl100k.why_not("don't")
    assert [(cut.text, cut.alternative) for cut in answer.cuts] == [(b"don", "letters"), (b"'t", "contraction")]
    assert answer.reason == "pattern"
    assert "The pattern cuts it into 'don' (letters), \"'t\" (contraction), and no token crosses a cut." in str(answer)


def test_a_token_that_is_reached_in_other_surroundings():
    vocabulary = byte_vocabulary((b"b", b"c"), pattern=r"bc(?=d)|[\s\S]")
    assert Tokenizer(vocabulary).why_not("bc").is_reached is None
    vocabulary = byte_vocabulary((b"b", b"c"), pattern=r"bc(?=x)|[\s\S]")
    answer = Tokenizer(vocabulary).why_not("bc")
    assert answer.example == b"bcx"
    assert "in 'bcx', for one" in str(answer)


def test_an_added_token():
    vocabulary = byte_vocabulary((b"a", b"b"))
    tokens = (*vocabulary.tokens, b"<|x|>")
    answer = Tokenizer(dataclasses.replace(vocabulary, tokens=tokens, added=(AddedToken(257, "<|x|>"),))).why_not(
        "<|x|>"
    )
    assert (answer.token_id, answer.reason) == (257, "added")
    assert 'special="parse"' in str(answer)


def test_a_text_that_the_normalizer_changes():
    answer = Tokenizer(dataclasses.replace(byte_vocabulary(), normalizer="nfc")).why_not("e\u0301")
    assert answer.reason == "normaliser"
    assert answer.normalized == "é".encode()


def test_bytes_that_are_not_utf8():
    answer = Tokenizer(byte_vocabulary((b"\xf0", b"\x9f"))).why_not(b"\xf0\x9f\xa4")
    assert "b'\\xf0\\x9f' + b'\\xa4'" in str(answer)


def test_no_text_and_a_long_one_are_refused(cl100k):
    with pytest.raises(ConfigError, match="0 bytes, and what is asked about has 1 to 1,024"):
        cl100k.why_not("")
    with pytest.raises(ConfigError, match="1,025 bytes"):
        cl100k.why_not("x" * 1025)
    assert cl100k.why_not("x" * 1024).needed == ()


SCORED = [
    *models.CONTROLS,
    *models.BYTES,
    ("\u2581", -1.0, 1),
    ("a", -2.0, 1),
    ("b", -3.0, 1),
    ("c", -3.5, 1),
    ("ab", -4.0, 1),
    ("bc", -5.0, 1),
    ("abc", -0.5, 5),
    ("\u2581a", -6.0, 1),
    ("aab", -9.0, 1),
    ("abbc", -9.5, 1),
]


def load_model(tmp_path, pieces=SCORED):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(models.model(pieces, byte_fallback=True))
    return Tokenizer.load(path)


def test_over_characters(tmp_path):
    tokenizer = load_model(tmp_path)
    inside = tokenizer.why_not("ab")
    assert inside.is_reached
    assert inside.token_id in tokenizer.encode(inside.example)
    assert tokenizer.why_not("abbc").is_reached
    assert tokenizer.why_not(" a").token_id == [piece for piece, _, _ in SCORED].index("\u2581a")
    missing = tokenizer.why_not("cab")
    assert [(merge.left, merge.right) for merge in missing.needed] == [(b"c", b"ab")]
    assert "No merge and no token has the character 'é'." in str(tokenizer.why_not("é"))
    assert tokenizer.why_not("\n").is_reached
    assert tokenizer.why_not("abc").reason == "kind"
    assert "unused" in str(tokenizer.why_not("abc"))
    assert tokenizer.why_not("<s>").reason == "added"
    assert tokenizer.why_not("<0x41>").is_reached is None


@examples
@given(text=st.text("abc ", min_size=2, max_size=12))
def test_over_characters_the_pieces_it_asks_for_are_enough(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("model")
    answer = load_model(folder).why_not(text)
    assume(answer.needed and answer.reason == "no merge")
    new = [
        ((merge.left + merge.right).decode(), -100.0 - i, 1)
        for i, merge in enumerate(answer.needed)
        if merge.token_id is None
    ]
    pieces = [entry for entry in SCORED if entry[0] not in {name for name, _, _ in new}]
    completed = load_model(folder, [*pieces, *new]).why_not(text)
    assert len(completed.merged) == 1
