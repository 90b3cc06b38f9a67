"""The profile ``datatrove`` decides as datatrove's own filter does, both being given the same words."""

import random

import numpy as np
import pytest

from fakes import planted
from textmill.text.decontamination import Decontaminator, EvalItem, Profile
from textmill.text.reference_words import folded_words
from textmill.text.text_batch import TextBatch

pytestmark = pytest.mark.peer


class OurWords:
    """What stands in for datatrove's word splitter, which needs spaCy."""

    def word_tokenize(self, text):
        return [word.folded for word in folded_words(text)]


@pytest.fixture
def pieces(tmp_path, monkeypatch):
    """Their indexer (whose run needs lighteval, and is not used) and their filter."""
    n_grams = pytest.importorskip("datatrove.pipeline.decont.n_grams")
    monkeypatch.setattr(n_grams, "load_word_tokenizer", lambda _: OurWords())
    # Numbers become 0 there, which is a choice of theirs beside the n-grams.
    config = n_grams.NGramsDecontConfig(
        norm_config=n_grams.TextNormConfig(norm_numbers=False), hash_config=n_grams.HashConfig(hash_fc="sha1")
    )
    monkeypatch.setattr(n_grams.NGramsDecontIndexer, "_requires_dependencies", [])
    indexer = n_grams.NGramsDecontIndexer(str(tmp_path), config=config)
    return indexer, n_grams.NGramsDecontFilter(str(tmp_path), config=config)


def test_decisions_are_theirs(pieces, tmp_path):
    from datatrove.data import Document

    indexer, their_filter = pieces
    sentences = planted.sentences()
    items = [EvalItem(f"e:{n}", "e", sentences[2 * n], sentences[2 * n + 1]) for n in range(80)]
    long_enough = [
        item for item in items if len(folded_words(item.question)) >= 12 and len(folded_words(item.answer)) >= 12
    ]
    hashes = [value for item in long_enough for value in indexer.compute_hashes(item.answer, item.question)]
    np.array(hashes, indexer.config.hash_config.np_descr).tofile(tmp_path / "e.index.hashes")
    generator = random.Random(8)
    hosts = planted.documents(400, 6)
    documents = []
    for number, host in enumerate(hosts):
        item = generator.choice(long_enough)
        words = f"{item.question} {item.answer}".split()
        begin = generator.randrange(len(words))
        documents.append(f"{host} {' '.join(words[begin : begin + 6 + number % 14])} {host}")
    theirs = [their_filter.filter(Document(text=text, id="x")) is True for text in documents]
    ours = Decontaminator(long_enough, Profile.named("datatrove")).apply(TextBatch.of(documents)).kept.tolist()
    assert ours == theirs
    assert 50 < sum(ours) < 350
