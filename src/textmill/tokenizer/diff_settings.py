"""The settings that two tokenizers have otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textmill.tokenizer.difference import Setting
from textmill.tokenizer.tokenizer import Tokenizer

_NOT_SETTINGS = {"pieces", "kinds", "scores", "charsmap"}


def settings(a: Tokenizer, b: Tokenizer) -> Iterator[Setting]:
    """Yield what is set otherwise in two tokenizers, special tokens last."""
    facts_a, facts_b = _facts(a), _facts(b)
    for name in [*facts_a, *(name for name in facts_b if name not in facts_a)]:
        if facts_a.get(name) != facts_b.get(name):
            yield Setting(name, facts_a.get(name), facts_b.get(name))
    specials_a, specials_b = a.special_tokens, b.special_tokens
    for text in [*specials_a, *(text for text in specials_b if text not in specials_a)]:
        if specials_a.get(text) != specials_b.get(text):
            yield Setting(f"special token {text}", specials_a.get(text), specials_b.get(text))


def _facts(tokenizer: Tokenizer) -> dict[str, Any]:
    vocabulary = tokenizer.vocabulary
    facts = {
        "merges": "bytes" if vocabulary.characters is None else "characters",
        "tokens": tokenizer.vocab_size,
        "number of merges": len(tokenizer.merge_table),
        "pattern": tokenizer.pattern,
        "regexes": list(vocabulary.pattern.regexes),
        "normaliser": tokenizer.normalizer,
        "space before a text": vocabulary.adds_prefix_space,
        "whole pieces are looked up": vocabulary.whole_pieces,
        "bytes without a token": tokenizer.missing_bytes.hex(" "),
        "ids before a text": list(tokenizer.prefix_ids),
        "ids after a text": list(tokenizer.suffix_ids),
        "ids that end a text": list(tokenizer.stop_ids),
        "chat template": tokenizer.chat_template,
    }
    rules = vocabulary.characters.facts() if vocabulary.characters is not None else {}
    return facts | {name.replace("_", " "): value for name, value in rules.items() if name not in _NOT_SETTINGS}
