"""Writing a tokenizer.json, the format of Hugging Face's ``tokenizers``."""

from __future__ import annotations

import json
from typing import Any

from textmill.base.errors import DataError
from textmill.tokenizer import patterns
from textmill.tokenizer.alphabet import to_characters
from textmill.tokenizer.formats.metaspace_writer import to_parts
from textmill.tokenizer.formats.post_processor import to_post_processor
from textmill.tokenizer.vocabulary import Vocabulary

_BYTE_LEVEL_DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def to_json(vocabulary: Vocabulary) -> str:
    """Write a vocabulary as the text of a tokenizer.json."""
    names = {} if vocabulary.characters else _names(vocabulary)
    added = [
        {
            "id": token.id,
            "content": token.text,
            "single_word": token.is_single_word,
            "lstrip": token.strips_left,
            "rstrip": token.strips_right,
            "normalized": token.is_normalized,
            "special": token.is_special,
        }
        for token in vocabulary.added
    ]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": vocabulary.whole_pieces,
        "vocab": {name: token_id for token_id, name in names.items()},
        "merges": [] if vocabulary.characters else [[names[a], names[b]] for a, b, _ in vocabulary.merges.tolist()],
    }
    parts = to_parts(vocabulary) if vocabulary.characters else _byte_level_parts(vocabulary)
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": to_post_processor(vocabulary),
        "decoder": parts["decoder"],
        "model": {**model, **parts["model"]},
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _byte_level_parts(vocabulary: Vocabulary) -> dict[str, Any]:
    return {
        "normalizer": {"type": "NFC"} if vocabulary.normalizer == "nfc" else None,
        "pre_tokenizer": _pre_tokenizer(vocabulary),
        "decoder": _BYTE_LEVEL_DECODER,
        "model": {},
    }


def _names(vocabulary: Vocabulary) -> dict[int, str]:
    added = {token.id: token.text for token in vocabulary.added}
    names = {i: added.get(i) or to_characters(token) for i, token in enumerate(vocabulary.tokens) if token}
    owners: dict[str, int] = {}
    for token_id, name in names.items():
        if name in owners:
            raise DataError(
                f'tokens {owners[name]} and {token_id} would both be written "{name}" in a tokenizer.json, which has '
                "one id for a name; choose another text for the special token"
            )
        owners[name] = token_id
    return names


def _pre_tokenizer(vocabulary: Vocabulary) -> dict[str, Any]:
    part = patterns.to_pre_tokenizer(vocabulary.pattern)
    if not vocabulary.adds_prefix_space:
        return part
    if part["type"] != "ByteLevel":
        raise DataError(
            f'this tokenizer puts a space before a text and splits it by the pattern "{vocabulary.pattern.name}"; a '
            "tokenizer.json can hold the two together only with the pattern gpt2"
        )
    return {**part, "add_prefix_space": True}
