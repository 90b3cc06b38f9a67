"""Cutting a text to a number of tokens."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import SupportsIndex, TypeVar, cast

from textmill import _core
from textmill.base.errors import ConfigError
from textmill.tokenizer.special import SpecialPolicy
from textmill.tokenizer.text_encoder import TextEncoder
from textmill.tokenizer.token_ids import shown
from textmill.tokenizer.utf8 import to_bytes

TextT = TypeVar("TextT", str, bytes)


def truncate(encoder: TextEncoder, text: TextT, max_tokens: SupportsIndex, special: SpecialPolicy) -> TextT:
    """Cut a text to what at most ``max_tokens`` tokens hold; ``Tokenizer.truncate`` says how.

    Cut off, what was one token may be two. Then fewer are kept: 1, 2, 4, ... fewer until they fit, and then the most
    that do, so that the text is encoded as often as the number of tokens has bits.
    """
    data = to_bytes(text)
    most = min(_checked(max_tokens), len(data) + 1)  # one more than the bytes: a space put before them
    place = _places(encoder, data, special)

    def head(num_tokens: int) -> bytes:
        end = place(num_tokens)
        while isinstance(text, str) and 0 < end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1  # inside a character
        return data[:end]

    def fits(num_tokens: int) -> bool:
        return num_tokens == 0 or encoder.count(head(num_tokens), special) <= most

    kept = most if fits(most) else _most_that_fit(most, fits)
    return cast(TextT, head(kept).decode() if isinstance(text, str) else head(kept))


def _most_that_fit(too_many: int, fits: Callable[[int], bool]) -> int:
    """A number that fits, below one that does not, and the next does not either."""
    step = 1
    while not fits(kept := max(too_many - step, 0)):
        too_many = kept
        step *= 2
    while too_many - kept > 1:
        middle = (kept + too_many) // 2
        kept, too_many = (middle, too_many) if fits(middle) else (kept, middle)
    return kept


def _places(encoder: TextEncoder, data: bytes, special: SpecialPolicy) -> Callable[[int], int]:
    """Where the first so many tokens of a text end."""
    native = encoder.at_start
    if special == "text" and encoder.is_plain and isinstance(native, _core.Encoder):
        return lambda num_tokens: native.head(data, num_tokens)[0]
    _, spans = encoder.encode_with_spans(data, special)
    ends = [0, *(end for _, end in spans)]
    ends[-1] = len(data)
    return lambda num_tokens: ends[min(num_tokens, len(spans))]


def _checked(max_tokens: SupportsIndex) -> int:
    try:
        if isinstance(max_tokens, bool):
            raise TypeError
        number = operator.index(max_tokens)
    except TypeError:
        raise ConfigError(f"max_tokens is a {type(max_tokens).__name__}, and must be a whole number") from None
    if number < 0:
        raise ConfigError(f"max_tokens is {shown(number)}, and must be 0 or more")
    return number
