"""What the page draws of a text's tokens: an outline in columns, an explanation, an answer to why, a comparison."""

from __future__ import annotations

from typing import Any

from textmill.base.errors import ConfigError
from textmill.tokenizer.diff import diff
from textmill.tokenizer.outline import Outline, Shape
from textmill.tokenizer.special import SpecialPolicy
from textmill.tokenizer.tokenizer import Tokenizer

TEXT_BYTES_MAX = 64 << 10
EXPLAINED_BYTES_MAX = 4 << 10


def outline(tokenizer: Tokenizer, text: str, special: SpecialPolicy = "text") -> dict[str, Any]:
    """Take a text apart, in columns.

    Raises:
        ConfigError: it is longer than is drawn, or is no text.
    """
    num_bytes = check_text(text, TEXT_BYTES_MAX)
    found = tokenizer.outline(text, special)
    pattern = tokenizer.vocabulary.pattern
    alternatives = [alternative for stage in pattern.stages for alternative in stage.alternatives]
    return {
        "num_bytes": num_bytes,
        "num_characters": len(text),
        "num_tokens": len(found.ids),
        "bytes_per_token": num_bytes / len(found.ids) if found.ids else None,
        "pattern": pattern.name,
        "num_stages": len(pattern.stages),
        "vocab_size": tokenizer.vocab_size,
        "ids": found.ids,
        "ends": found.ends,
        "vocabulary": _vocabulary(tokenizer, found),
        "pieces": {
            "ends": found.piece_ends,
            "num_tokens": [found.shapes[number].num_tokens for number in found.piece_shapes],
            "alternatives": found.piece_alternatives,
            "shapes": found.piece_shapes,
        },
        "alternatives": [
            {"name": alternative.name, "regex": alternative.regex, "stage": pattern.stage_of(number)}
            for number, alternative in enumerate(alternatives)
        ],
        "shapes": [_shape(shape) for shape in found.shapes],
        "changes": [
            {
                "begin": change.begin,
                "end": change.end,
                "original_hex": change.original.hex(),
                "original": _text(change.original),
                "prepared_hex": change.prepared.hex(),
                "prepared": _text(change.prepared),
                "reason": change.reason,
            }
            for change in found.changes
        ],
        "dropped": told_bytes(found.dropped),
    }


def compare(a: Tokenizer, b: Tokenizer, text: str, top: int = 20) -> dict[str, Any]:
    """Take a text apart by two tokenizers, and say what they do differently; raises as ``outline``."""
    outlines = [outline(tokenizer, text) for tokenizer in (a, b)]
    return {
        "a": outlines[0],
        "b": outlines[1],
        "common_ends": sorted(set(outlines[0]["ends"]) & set(outlines[1]["ends"])),
        "diff": diff(a, b, [text], top=top).to_dict(),
    }


def check_text(text: str, most_bytes: int) -> int:
    """The bytes of a text; raises ``ConfigError`` for one that is too long or no text."""
    try:
        num_bytes = len(text.encode())
    except UnicodeEncodeError as error:
        raise ConfigError("the text holds half of a surrogate pair, which is no character") from error
    if num_bytes > most_bytes:
        raise ConfigError(f"the text has {num_bytes:,} bytes, and at most {most_bytes:,} are drawn; take a part of it")
    return num_bytes


def told_bytes(data: bytes) -> dict[str, str]:
    """Bytes in hexadecimal, with their text beside them."""
    return {"hex": data.hex(), "text": _text(data)}


def _vocabulary(tokenizer: Tokenizer, found: Outline) -> dict[str, dict[str, str]]:
    texts = tokenizer.vocabulary.tokens
    return {str(token_id): told_bytes(texts[token_id]) for token_id in sorted(found.known_ids) if token_id < len(texts)}


def _shape(shape: Shape) -> dict[str, Any]:
    return told_bytes(shape.text) | {
        "symbols": shape.symbols,
        "symbol_ends": shape.symbol_ends,
        "merges": shape.merges,
        "is_whole": shape.is_whole,
        "is_added": shape.is_added,
    }


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
