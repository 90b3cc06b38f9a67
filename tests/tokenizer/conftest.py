"""Text of many kinds, and tokenizers trained on it once."""

import pytest

from textmill import Tokenizer
from tokenizer.corpora import SPECIALS, TEMPLATE, standard_library

# The other named patterns are variants of these; the last one has no name.
SOME_PATTERNS = ["char", "gpt2", "cl100k", "o200k", "smollm", "deepseek-v3", r"[\p{L}'-]+|\s+(?!\S)|\p{N}{1,2}+|[\s\S]"]


@pytest.fixture(scope="session")
def corpus():
    return [
        *standard_library(300_000),
        "Привет, мир! 中文分词 हिन्दी naïve façade ½ Ⅷ ² don't DON'T it'ſ 🤖👩‍👩‍👧 \u3000\u00a0x\r\n\r\n \t y",
    ]


@pytest.fixture(scope="session", params=SOME_PATTERNS)
def tokenizer(request, corpus):
    return Tokenizer.train(iter(corpus), 1200, request.param, SPECIALS)


@pytest.fixture(scope="session")
def cl100k(corpus):
    return Tokenizer.train(iter(corpus), 1200, "cl100k", SPECIALS)


@pytest.fixture(scope="session")
def chat_tokenizer(cl100k):
    return cl100k.with_chat_template(TEMPLATE)
