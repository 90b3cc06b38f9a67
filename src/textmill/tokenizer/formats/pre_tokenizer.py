"""The ``pre_tokenizer`` and ``normalizer`` of a tokenizer.json, as a pattern and what happens to a text before it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer import patterns
from textmill.tokenizer.formats.json_parts import list_of, text_of, type_of
from textmill.tokenizer.formats.punctuation import PUNCTUATION
from textmill.tokenizer.oniguruma import from_oniguruma
from textmill.tokenizer.patterns import Pattern

# ByteLevel with use_regex. Every byte string is one piece where it does not split and nothing else does.
_GPT2 = patterns.pattern_named("gpt2").regexes[0]
_WHOLE_TEXT = r"[\s\S]+"
# Hugging Face's Digits asks Rust's standard library, which knows thirteen numbers of Unicode 17 beside our tables'.
_DIGITS = {True: r"\p{N}", False: r"\p{N}+"}
# What Digits splits where ByteLevel has already written bytes as characters: these six bytes are written as ²³¹¼½¾.
_NUMBER_BYTES = b"\xb2\xb3\xb9\xbc\xbd\xbe"
_ASCII_DIGITS = re.compile(r"(?:\[0-9\](?:\+|\{\d{1,3}(?:,\d{0,3})?\})?)+")


class PreTokenizer(NamedTuple):
    """How text is split.

    Attributes:
        pattern: the splits, in order.
        adds_prefix_space: a text that does not begin with a space gets one.
        number_bytes_stand_apart: no token may hold both a byte that is written as a number and one that is not.
    """

    pattern: Pattern
    adds_prefix_space: bool
    number_bytes_stand_apart: bool


def read_pre_tokenizer(part: Any) -> PreTokenizer:
    """Read the pre_tokenizer of a tokenizer.json.

    Raises:
        DataError: a step is not known, or does what cannot be reproduced exactly.
    """
    steps = _flat(part, "pretokenizers")
    types = [type_of(step) for step in steps]
    if types.count("ByteLevel") != 1:
        described = " then ".join(types) if part is not None else "null"
        raise DataError(f"its pre_tokenizer is {described}, and textmill knows those with one ByteLevel")
    place = types.index("ByteLevel")
    adds_prefix_space = _flag(steps[place], "add_prefix_space", default=True)
    if adds_prefix_space and place > 0:
        raise DataError(
            "its ByteLevel adds a space before each piece (add_prefix_space after another step), which textmill does "
            "not do"
        )
    try:
        pattern = patterns.pattern_from(_regexes(steps, place) or [_WHOLE_TEXT])
    except ConfigError as error:
        raise DataError(f"its pre_tokenizer cannot be reproduced: {error}") from error
    return PreTokenizer(
        pattern=pattern,
        adds_prefix_space=adds_prefix_space,
        number_bytes_stand_apart="Digits" in types[place:],
    )


def _regexes(steps: list[Any], place: int) -> list[str]:
    """The regex of each step; ``place`` is that of ByteLevel."""
    before = [_regex_of(step) for step in steps[:place]]
    of_bytes = [_GPT2] if _flag(steps[place], "use_regex", default=True) else []
    return before + of_bytes + [_regex_after_bytes(step) for step in steps[place + 1 :]]


def read_normalizer(part: Any) -> str:
    """Read the normalizer of a tokenizer.json: nothing or NFC. Raises ``DataError`` for any other, by its name."""
    found = {type_of(step) for step in _flat(part, "normalizers")} if part is not None else set()
    for name in sorted(found - {"NFC"}):
        raise DataError(f"it has the normalizer {name}, which textmill does not know")
    return "nfc" if found else ""


def check_number_bytes(tokens: tuple[bytes, ...], merges: NDArray[np.uint32]) -> None:
    """Refuse merges across the borders that Digits draws inside characters after ByteLevel.

    Where no merge crosses them, splitting there changes no token, and need not be done.
    """
    for rank, (left, right, _) in enumerate(merges.tolist()):
        if (tokens[left][-1] in _NUMBER_BYTES) != (tokens[right][0] in _NUMBER_BYTES):
            raise DataError(
                f"its pre_tokenizer has Digits after ByteLevel, which splits inside characters, and merge {rank} joins "
                f"{tokens[left]!r} and {tokens[right]!r} across such a place; textmill does not split there"
            )


def _flat(part: Any, key: str) -> list[Any]:
    """The steps of a Sequence and of Sequences in it, in order."""
    steps: list[Any] = []
    waiting = [part]
    while waiting:
        step = waiting.pop()
        if type_of(step) == "Sequence":
            waiting += reversed(list_of(step.get(key), key))
        else:
            steps.append(step)
    return steps


def _regex_of(step: Any) -> str:
    kind = type_of(step)
    if kind == "Split":
        return _split_regex(step)
    if kind == "Digits":
        return _DIGITS[_flag(step, "individual_digits", default=False)]
    if kind == "Punctuation":
        behavior = step.get("behavior", "Isolated")
        if behavior not in ("Isolated", "Contiguous"):
            raise DataError(f"its Punctuation has the behavior {behavior!r}; textmill knows Isolated and Contiguous")
        return f"[{PUNCTUATION}]" + ("+" if behavior == "Contiguous" else "")
    raise DataError(f"its pre_tokenizer has the step {kind}, which textmill does not know")


def _regex_after_bytes(step: Any) -> str:
    """A step after ByteLevel sees bytes written as characters: what it does to ASCII digits, it does to text too."""
    kind = type_of(step)
    if kind == "Digits" and not _flag(step, "individual_digits", default=False):
        return "[0-9]+"
    if kind == "Split" and _ASCII_DIGITS.fullmatch(regex := _split_regex(step)):
        return regex
    raise DataError(
        f"its pre_tokenizer has {kind} after ByteLevel, where it splits bytes and not characters; textmill knows "
        "Digits that are not individual, and Split with ASCII digits"
    )


def _split_regex(split: Mapping[str, Any]) -> str:
    behavior, invert = split.get("behavior"), _flag(split, "invert", default=False)
    if behavior != "Isolated" and (behavior != "Removed" or not invert):
        raise DataError(f"its Split has the behavior {behavior!r}; textmill knows Isolated")
    regex = _pattern_text(split.get("pattern"))
    # Inverted and removed, only matches stay: the same as isolated where the pattern leaves nothing unmatched.
    if behavior == "Removed" and patterns.pattern_from([regex]).name not in _WITHOUT_GAPS:
        raise DataError(f"its Split has the behavior 'Removed', and {regex[:200]!r} may leave text unmatched")
    return regex


_WITHOUT_GAPS = {"gpt2", "cl100k", "llama3", "o200k", "qwen2", "qwen3", "tekken", "nanochat"}


def _pattern_text(pattern: Any) -> str:
    if isinstance(pattern, dict) and len(pattern) == 1:
        (kind, text), *_ = pattern.items()
        if isinstance(text, str) and text and kind in ("Regex", "String"):
            text_of(text, "the pattern of its Split")
            return _with_line_ends_named(from_oniguruma(text) if kind == "Regex" else re.escape(text))
    raise DataError(f"its Split has the pattern {str(pattern)[:200]!r}, which must be a Regex or a String")


def _with_line_ends_named(regex: str) -> str:
    r"""Write a line end inside a regex as ``\r`` or ``\n``, as the named patterns do; JSON files hold either."""
    names = {"\r": r"\r", "\n": r"\n"}
    return re.sub(r"\\[\s\S]|[\r\n]", lambda found: names.get(found[0][-1], found[0]), regex)


def _flag(step: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = step.get(name, default)
    if not isinstance(value, bool):
        raise DataError(f"its {type_of(step)} has {name} = {str(value)[:40]!r}, which must be true or false")
    return value
