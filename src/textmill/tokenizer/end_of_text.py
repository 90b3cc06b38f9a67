"""The token that ends a document."""

from __future__ import annotations

from textmill.base.errors import DataError
from textmill.tokenizer.tokenizer import Tokenizer

END_OF_TEXT = "<|endoftext|>"
_NAMES = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<|im_end|>", "<eos>")


def end_of_text(tokenizer: Tokenizer) -> int:
    """Find the id that ends a document; raises ``DataError`` where the tokenizer has none."""
    for name in _NAMES:
        if name in tokenizer.special_tokens:
            return tokenizer.special_tokens[name]
    known = ", ".join(list(tokenizer.special_tokens)[:8]) or "none"
    raise DataError(
        f"the tokenizer has no special token that ends a text (its special tokens: {known}); "
        f'train one with special_tokens=("{END_OF_TEXT}",)'
    )
