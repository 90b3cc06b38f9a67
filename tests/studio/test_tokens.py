"""The answers about tokens are those of the library."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.tiny_model import tokenizer
from studio.conftest import open_studio
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


TEXTS = ["the", "ten Té", "да", "не", "дa", "語", "123", "!?", "🙂"]


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, loop):
    """A tokenizer with the texts as tokens of their own, and bytes."""
    folder = tmp_path_factory.mktemp("mixed")
    Tokenizer.train(iter(["x"]), 256 + len(TEXTS), "gpt2", special_tokens=TEXTS).save(folder / "mixed.json")
    with open_studio(loop, [str(folder / "mixed.json")], folder / "runs") as client:
        yield client


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"text": "T"}, ["the", "ten Té", "T", "t"]),
        ({"text": "té"}, ["ten Té"]),
        ({"script": "Cyrillic"}, ["да", "не", "дa"]),
        ({"script": "Cyrillic", "text": "Д"}, ["да", "дa"]),
        ({"script": "Han"}, ["語"]),
        ({"text": "#74"}, ["b"]),
        ({"script": "none", "text": "2"}, ["123", "2"]),
        ({"text": "nothing"}, []),
    ],
)
def test_a_vocabulary_is_looked_through(mixed, asked, found):
    told = mixed.post("/api/tokens/vocabulary", {"tokenizer": "mixed.json", **asked})
    assert [token["text"] for token in told["tokens"]] == found
    assert told["num_found"] == len(found)
    assert told["vocab_size"] == 256 + len(TEXTS)


def test_a_vocabulary_is_counted_by_script(mixed):
    told = mixed.post("/api/tokens/vocabulary", {"tokenizer": "mixed.json", "count": 5})
    counts = {script["name"]: script["num_tokens"] for script in told["scripts"]}
    assert counts == {"parts": 128, "Latin": 55, "none": 128 - 52 + 3, "Cyrillic": 3, "Han": 1}
    assert (len(told["tokens"]), told["num_found"]) == (5, 256 + len(TEXTS))
    # A token of two scripts is found in both.
    for script in ("Latin", "Cyrillic"):
        body = {"tokenizer": "mixed.json", "script": script, "text": "дa"}
        assert mixed.post("/api/tokens/vocabulary", body)["num_found"] == 1
    refused = {"tokenizer": "mixed.json", "script": "Cyrilic"}
    assert 'did you mean "Cyrillic"?' in mixed.refusal("POST", "/api/tokens/vocabulary", json=refused)
    assert "count is 0" in mixed.refusal("POST", "/api/tokens/vocabulary", json=refused | {"script": None, "count": 0})


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
