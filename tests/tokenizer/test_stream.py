"""Decoding a token at a time after a prompt: what comes out is what the ids add to the prompt's text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.base.errors import DataError
from tokenizer import sentencepiece_models as models
from tokenizer.hard_text import examples

PIECES = [("\u2581", -1.0, 1), ("a", -2.0, 1), ("\u2581a", -3.0, 1), ("\u2581\u2581", -4.0, 1), ("中", -5.0, 1)]


@pytest.fixture(scope="module", params=["prefix", "extra spaces", "no prefix"])
def over_characters(request, tmp_path_factory):
    options = {"prefix": {}, "extra spaces": {"remove_spaces": True}, "no prefix": {"prefix": False}}[request.param]
    path = tmp_path_factory.mktemp("model") / "tokenizer.model"
    path.write_bytes(models.model(models.CONTROLS + models.BYTES + PIECES, byte_fallback=True, **options))
    return Tokenizer.load(path)


def streamed(tokenizer, ids, prompt):
    decoder = tokenizer.stream_decoder(prompt)
    texts = ["".join(map(decoder.push, ids)) + decoder.finish() for _ in range(2)]
    assert texts[0] == texts[1], "a decoder that has finished begins anew after the same prompt"
    return texts[0]


@examples
@given(data=st.data())
def test_a_stream_after_a_prompt_says_what_its_ids_add(over_characters, data):
    ids = st.lists(st.integers(1, over_characters.vocab_size - 1), max_size=8)
    prompt, new = data.draw(ids), data.draw(ids)
    whole = over_characters.decode_bytes(prompt + new)
    known = over_characters.decode_bytes(prompt)
    assert whole.startswith(known)
    try:
        known.decode()
    except UnicodeDecodeError:
        return  # what the prompt begins and the ids end: below
    assert streamed(over_characters, new, prompt) == whole[len(known) :].decode(errors="replace")


def test_a_space_at_the_start_goes_and_one_after_a_prompt_stays(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(models.model(models.CONTROLS + models.BYTES + PIECES, byte_fallback=True))
    tokenizer = Tokenizer.load(path)
    ids = tokenizer.encode("a")
    assert streamed(tokenizer, ids, []) == tokenizer.decode(ids) == "a"
    assert streamed(tokenizer, ids, ids) == " a"
    assert streamed(tokenizer, ids, np.array(ids)) == " a"


def test_a_character_that_the_prompt_begins_is_ended(cl100k):
    byte_ids = [cl100k.encode(bytes([byte]))[0] for byte in "x中🤖".encode()]
    for place in range(len(byte_ids) + 1):
        whole = "x中🤖".encode()
        expected = whole.decode()[len(whole[:place].decode(errors="ignore")) :]
        assert streamed(cl100k, byte_ids[place:], byte_ids[:place]) == expected


def test_a_prompt_of_no_tokens_is_refused(cl100k):
    with pytest.raises(DataError, match="id 1200 is no token"):
        cl100k.stream_decoder([1200])
