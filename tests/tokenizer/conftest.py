"""Text of many kinds, and tokenizers trained on it once."""

import sysconfig
from pathlib import Path

import pytest

from textmill import Tokenizer
from textmill.tokenizer.patterns import PATTERNS

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def standard_library(num_bytes):
    """The first modules of the interpreter's standard library, by name: at least this many bytes where there are."""
    texts, size = [], 0
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        texts.append(path.read_text(encoding="utf-8"))
        size += len(texts[-1])
        if size >= num_bytes:
            break
    return texts


@pytest.fixture(scope="session")
def corpus():
    return [*standard_library(300_000), "Привет, мир! 中文分词 हिन्दी naïve façade ½ Ⅷ ² don't DON'T it'ſ 🤖👩‍👩‍👧 \u3000\u00a0x\r\n\r\n \t y"]


@pytest.fixture(scope="session", params=sorted(PATTERNS))
def tokenizer(request, corpus):
    return Tokenizer.train(iter(corpus), 1200, request.param, SPECIALS)


@pytest.fixture(scope="session")
def cl100k(corpus):
    return Tokenizer.train(iter(corpus), 1200, "cl100k", SPECIALS)


@pytest.fixture(scope="session")
def chat_tokenizer(cl100k):
    return cl100k.with_chat_template(TEMPLATE)
