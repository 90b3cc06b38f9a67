"""The answers about tokens are those of the library."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.tiny_model import tokenizer
from textmill import Tokenizer
from tokenizer.hard_text import fewer_examples, hard_text


@fewer_examples
@given(text=hard_text)
def test_a_text_can_be_put_together_from_its_columns(studio, text):
    told = studio.post("/api/tokens", {"tokenizer": "words.json", "text": text})
    data = text.encode()
    assert told["ids"] == tokenizer().encode(text)
    assert told["num_bytes"] == len(data)
    begins = [0, *told["ends"]][:-1]
    assert b"".join(bytes.fromhex(told["vocabulary"][str(token)]["hex"]) for token in told["ids"]) == data
    for token, begin, end in zip(told["ids"], begins, told["ends"], strict=True):
        assert bytes.fromhex(told["vocabulary"][str(token)]["hex"]) == data[begin:end]
    pieces = told["pieces"]
    assert sum(pieces["num_tokens"]) == told["num_tokens"]
    at, first = 0, 0
    for end, count, shape in zip(pieces["ends"], pieces["num_tokens"], pieces["shapes"], strict=True):
        assert bytes.fromhex(told["shapes"][shape]["hex"]) == data[at:end]
        assert merged(told["shapes"][shape]) == told["ids"][first : first + count]
        at, first = end, first + count


def merged(shape):
    """What is left of a shape's symbols after its merges, as the page carries them out."""
    symbols = dict(zip([0, *shape["symbol_ends"]], shape["symbols"], strict=False))
    for begin, product, _ in shape["merges"]:
        places = sorted(symbols)
        del symbols[places[places.index(begin) + 1]]
        symbols[begin] = product
    return [symbols[place] for place in sorted(symbols)]


@pytest.fixture(scope="module")
def words(place):
    return Tokenizer.load(place / "words.json")


@fewer_examples
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_explanations_are_the_librarys(studio, words, text):
    told = studio.post("/api/tokens/explain", {"tokenizer": "words.json", "text": text})
    assert told == json.loads(json.dumps(words.explain(text).to_dict()))


@pytest.mark.parametrize("text", ["the", "thequick", "xyz", "é", "the quick"])
def test_why_is_the_librarys_answer(studio, text):
    told = studio.post("/api/tokens/why", {"tokenizer": "words.json", "text": text})
    assert told == json.loads(json.dumps(tokenizer().why_not(text).to_dict()))


def test_added_tokens_are_parsed_where_that_is_asked(studio):
    text = "<|im_start|>the"
    body = {"tokenizer": "tiny", "text": text}
    parsed = studio.post("/api/tokens", body | {"special": "parse"})
    assert parsed["ids"] == tokenizer().encode(text, special="parse")
    assert parsed["shapes"][0]["is_added"]
    assert studio.post("/api/tokens", body)["ids"] == tokenizer().encode(text)


def test_two_tokenizers_are_compared(studio):
    text = "the quick brown fox, naïve"
    told = studio.post("/api/tokens/compare", {"a": "words.json", "b": "example", "text": text, "top": 3})
    for side in ("a", "b"):
        alone = studio.post("/api/tokens", {"tokenizer": told[side]["tokenizer"], "text": text})
        assert told[side] == alone
    assert told["common_ends"] == sorted(set(told["a"]["ends"]) & set(told["b"]["ends"]))
    assert told["diff"]["total"]["num_tokens_a"] == told["a"]["num_tokens"]
    assert told["diff"]["total"]["num_tokens_b"] == told["b"]["num_tokens"]


def test_an_empty_text_has_no_tokens(bare):
    told = bare.post("/api/tokens", {"tokenizer": "example", "text": ""})
    assert (told["ids"], told["pieces"]["ends"], told["bytes_per_token"]) == ([], [], None)
