"""Documents made to be slow to judge take time in proportion to their length."""

from __future__ import annotations

import time

import pytest

from textmill.text.rules import PRESETS, RuleSet
from textmill.text.text_batch import TextBatch

NUM = 300_000
DOCUMENTS = {
    "one word": "a" * NUM,
    "one symbol": "." * NUM,
    "open brackets": "[" * NUM,
    "open citations": "[1" * NUM,
    "marks": "a" + "\u0301" * NUM,
    "white space": " " * NUM + "x",
    "newlines": "\n" * NUM,
    "white space behind marks": ("." + " " * 1000) * (NUM // 1000),
    "joiners": "a-" * NUM,
    "numbers": "1," * NUM,
    "one word, repeated": "word " * NUM,
    "ten words, repeated": "the quick brown fox jumps over lazy dogs and cats " * (NUM // 10),
    "words without spaces": "ab a b " * NUM,
    "bytes that are not UTF-8": b"\xf0\x9f\x98" * NUM,
    "zeros": b"\0" * NUM,
}


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("preset", PRESETS)
def test_hostile_documents_take_no_more_time(preset, name):
    rules = RuleSet.named(preset, {"min_words": 0} if preset == "gopher" else {})
    begin = time.process_time()
    rules.apply(TextBatch.of([DOCUMENTS[name]]))
    assert time.process_time() - begin < 3
