"""An outline says what an explanation says: the one is native and in columns, the other is Python, merge by merge."""

import json

import pytest
from hypothesis import given

from textmill import Tokenizer
from textmill.base.errors import DataError
from tokenizer import sentencepiece_models as models
from tokenizer.hard_text import fewer_examples, hard_bytes, hard_text

PIECES = [("\u2581", -2.0, 1), ("a", -3.0, 1), ("b", -4.0, 1), ("ab", -1.0, 1), ("\u2581ab", -0.5, 1), ("<x>", 0.0, 4)]


def check_as_explained(tokenizer, text, special="text"):
    explanation, outline = tokenizer.explain(text, special), tokenizer.outline(text, special)
    assert outline.ids == explanation.ids
    assert outline.ends == [token.end for token in explanation.tokens]
    assert outline.changes == list(explanation.changes)
    assert outline.dropped == explanation.dropped
    assert outline.piece_ends == [piece.end for piece in explanation.pieces]
    shapes = [outline.shapes[number] for number in outline.piece_shapes]
    alternatives = tokenizer.vocabulary.pattern
    for piece, shape, number in zip(explanation.pieces, shapes, outline.piece_alternatives, strict=True):
        assert (shape.text, shape.is_whole, shape.is_added) == (piece.text, piece.is_whole, piece.is_added)
        assert shape.num_tokens == len(piece.tokens)
        assert list(shape.symbols) == [symbol.id for symbol in piece.symbols]
        assert list(shape.symbol_ends) == [symbol.end for symbol in piece.symbols]
        assert list(shape.merges) == [(step.begin, step.product, step.rank) for step in piece.merges]
        if number >= 0:
            assert alternatives.alternative(number).name == piece.alternative
    assert len({(shape.text, shape.is_added) for shape in outline.shapes}) == len(outline.shapes)


@fewer_examples
@given(text=hard_bytes)
def test_bytes_are_outlined_as_they_are_explained(tokenizer, text):
    check_as_explained(tokenizer, text)


@fewer_examples
@given(text=hard_text)
def test_characters_are_outlined_as_they_are_explained(characters, text):
    check_as_explained(characters, text)
    check_as_explained(characters, f"ab {text}<x>  ba")


@fewer_examples
@given(text=hard_text)
def test_what_is_changed_before_splitting_is_told_alike(changing, text):
    check_as_explained(changing, f"xe\u0301y{text}")


@pytest.fixture(scope="session")
def characters(tmp_path_factory):
    path = tmp_path_factory.mktemp("outline") / "tokenizer.model"
    path.write_bytes(models.model([*models.CONTROLS, *models.BYTES, *PIECES], byte_fallback=True))
    return Tokenizer.load(path)


@pytest.fixture(scope="session")
def changing(cl100k, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outline")
    cl100k.save(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "NFC"}
    content["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": True,
    }
    file.write_text(json.dumps(content))
    return Tokenizer.load(file)


def test_added_tokens_are_pieces_of_their_own(cl100k):
    special = next(iter(cl100k.special_tokens))
    text = f"a{special} b{special}{special}"
    check_as_explained(cl100k, text, "parse")
    check_as_explained(cl100k, text)
    with pytest.raises(DataError, match="special token"):
        cl100k.outline(text, special="forbid")


def test_every_id_is_known(cl100k):
    outline = cl100k.outline("hello hello world")
    assert outline.known_ids >= {*outline.ids, *(merge[1] for shape in outline.shapes for merge in shape.merges)}
    assert len(outline.shapes) < len(outline.piece_ends) + 1
