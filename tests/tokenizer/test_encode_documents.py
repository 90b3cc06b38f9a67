import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill import Tokenizer
from textmill.text.text_batch import TextBatch

TEXTS = ["the cat sat on the mat", "", "né " * 50, "x" * 3000, "a\nb\n\n", "1 2 3 " * 60_000]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(iter(TEXTS[:3]), 300, special_tokens=("<|endoftext|>",))


def expected(tokenizer: Tokenizer, texts: list[str], end: int) -> tuple[list[int], list[int]]:
    documents = [[*ids, end] for ids in tokenizer.encode_batch(texts).tolist()]
    return [token for document in documents for token in document], [len(document) for document in documents]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_documents_are_texts_with_an_end_behind_each(tokenizer: Tokenizer, threads: int) -> None:
    texts = [*TEXTS, "", *TEXTS, ""]
    ids, lengths = tokenizer.encode_documents(TextBatch.of(texts), 0, threads)
    assert (ids.dtype, lengths.dtype) == (np.uint16, np.int64)
    assert (ids.tolist(), lengths.tolist()) == expected(tokenizer, texts, 0)


@given(texts=st.lists(st.text(max_size=40), max_size=8), threads=st.integers(1, 3))
def test_any_documents(tokenizer: Tokenizer, texts: list[str], threads: int) -> None:
    ids, lengths = tokenizer.encode_documents(TextBatch.of(texts), 0, threads)
    assert (ids.tolist(), lengths.tolist()) == expected(tokenizer, texts, 0)


def test_ids_of_large_vocabularies_are_wide() -> None:
    texts = ["the cat", "", "sat"]
    vocabulary = Tokenizer.train(iter(texts), 300).vocabulary
    holes = (b"",) * (1 << 16)
    wide = Tokenizer(dataclasses.replace(vocabulary, tokens=(*vocabulary.tokens, *holes, b"the cat sat")))
    ids, lengths = wide.encode_documents(TextBatch.of(texts), wide.vocab_size - 1)
    assert ids.dtype == np.uint32
    assert (ids.tolist(), lengths.tolist()) == expected(wide, texts, wide.vocab_size - 1)


def test_texts_that_are_normalised_first_come_out_the_same() -> None:
    vocabulary = dataclasses.replace(Tokenizer.train(iter(TEXTS[:3]), 300).vocabulary, normalizer="nfc")
    tokenizer = Tokenizer(vocabulary)
    texts = ["ne\u0301", "", "the cat"]
    ids, lengths = tokenizer.encode_documents(TextBatch.of(texts), 7)
    assert (ids.tolist(), lengths.tolist()) == expected(tokenizer, texts, 7)


def test_an_end_that_is_no_id_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="ids 0 to"):
        tokenizer.encode_documents(TextBatch.of(["a"]), tokenizer.vocab_size)
