r"""Sets of characters, and what in a regex stands for one: ``\s``, ``\p{Lu}``, ``[^a-z]``. The twin of the native one.

All follow the pinned Unicode version. Where case is ignored a set also holds what is equal, one character for one, to
any in it; a property is negated after that, as in tiktoken.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from functools import cache
from itertools import pairwise

from textmill import _core
from textmill.base.errors import ConfigError

Ranges = tuple[tuple[int, int], ...]  # first and last code points, ascending, that do not touch

# The items of a class.
CLASS_ITEM = re.compile(
    r"\\[pP](?:\{[^}]*\}|.)|\\x\{[0-9A-Fa-f]+\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\.|.", re.DOTALL
)
_SHORTHANDS = {"s": "whitespace", "d": "Nd", "w": "word"}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_SURROGATES = range(0xD800, 0xE000)
_LAST_CODE_POINT = 0x10FFFF
_GROUP_PREFIXES = ("Script=", "sc=", "General_Category=", "gc=")
_OPERATIONS = (["&", "&"], ["|", "|"], ["-", "-"], ["~", "~"])


def united(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Put ranges in any order together."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = result[-1][0], max(result[-1][1], last)
        else:
            result.append((first, last))
    return tuple(result)


def complement(ranges: Ranges) -> Ranges:
    """Give all code points that are in no range, the surrogates too: these stand for bytes that are not UTF-8."""
    edges = ((-1, -1), *ranges, (_LAST_CODE_POINT + 1, _LAST_CODE_POINT + 1))
    return tuple((last + 1, first - 1) for (_, last), (first, _) in pairwise(edges) if last + 1 < first)


def folded(ranges: Ranges) -> Ranges:
    """Add what is equal to any of the characters where case is ignored."""
    next_of = _case_pairs()
    cased = list(next_of)
    added: list[tuple[int, int]] = []
    for first, last in ranges:
        for code in cased[bisect_left(cased, first) : bisect_right(cased, last)]:
            other = next_of[code]
            while other != code:
                added.append((other, other))
                other = next_of[other]
    return united([*ranges, *added])


def set_of(text: str, *, ignore_case: bool = False) -> Ranges:
    """Give the characters that one character, an escape, a property or a class stands for; raises ``ConfigError``."""
    if text.startswith("[") and len(text) > 1:
        return _class_set(text, ignore_case=ignore_case)
    ranges = _item_set(text, ignore_case=ignore_case)
    return folded(ranges) if ignore_case and not text.startswith(("\\p", "\\P")) else ranges


def class_items(text: str) -> tuple[bool, list[str]]:
    """Take a class apart: whether it is negated, and its items, a - between two of them among these."""
    is_negated = text.startswith("[^")
    return is_negated, CLASS_ITEM.findall(text[2 if is_negated else 1 : -1])


def property_name(text: str) -> tuple[str, bool]:
    r"""Give the name of a property such as ``\P{Script=Han}``, and whether it is negated."""
    name = text[2:].strip("{}")
    is_negated = text.startswith("\\P") != name.startswith("^")
    name = name.removeprefix("^")
    for prefix in _GROUP_PREFIXES:
        name = name.removeprefix(prefix)
    return name, is_negated


def as_class(ranges: Ranges, hexadecimal: str) -> str:
    r"""Write a set as a class, each code point by a format such as ``\U{:08x}``."""
    parts = []
    for first, last in ranges:
        parts.append(hexadecimal.format(first) + ("-" + hexadecimal.format(last) if last > first else ""))
    return f"[{''.join(parts)}]"


def _class_set(text: str, *, ignore_case: bool) -> Ranges:
    is_negated, items = class_items(text)
    items.reverse()
    ranges: list[tuple[int, int]] = []
    while items:
        first = _next_item(items, text, ignore_case=ignore_case)
        if len(items) < 2 or items[-1] != "-":
            ranges += first
            continue
        items.pop()
        last = _next_item(items, text, ignore_case=ignore_case)
        if not _is_one(first) or not _is_one(last) or last < first:
            raise ConfigError(f"a range in {text} is not from one character to a later one")
        ranges.append((first[0][0], last[0][0]))
    result = folded(united(ranges)) if ignore_case else united(ranges)
    return complement(result) if is_negated else result


def _next_item(items: list[str], text: str, *, ignore_case: bool) -> Ranges:
    """Take the last item off a list and give what it stands for."""
    if items[-1] == "[" or items[:-3:-1] in _OPERATIONS:
        raise ConfigError(f"a class inside a class, or an operation on classes, is not reproduced: {text}")
    return _item_set(items.pop(), ignore_case=ignore_case)


def _is_one(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _item_set(text: str, *, ignore_case: bool) -> Ranges:
    if len(text) == 1:
        return ((ord(text), ord(text)),)
    letter = text[1]
    if letter in "sSdDwW":
        ranges = _property(_SHORTHANDS[letter.lower()])
        return complement(ranges) if letter.isupper() else ranges
    if letter in "pP":
        name, is_negated = property_name(text)
        if name in _SHORTHANDS.values() and name != "Nd":
            raise ConfigError(_unknown_property(name))
        ranges = folded(_property(name)) if ignore_case else _property(name)
        return complement(ranges) if is_negated else ranges
    code = _code_point(text)
    if code in _SURROGATES or code > _LAST_CODE_POINT:
        raise ConfigError(f"{text[:40]} is no character")
    return ((code, code),)


def _code_point(text: str) -> int:
    letter = text[1]
    if letter in "xu" and len(text) > 2:
        return int(text[2:].strip("{}"), 16)
    if letter in _CONTROLS:
        return ord(_CONTROLS[letter])
    if letter.isalnum():
        raise ConfigError(f"the escape {text} is not reproduced exactly")
    return ord(letter)


@cache
def _property(name: str) -> Ranges:
    try:
        return tuple((first, last) for first, last in _core.unicode_ranges(name).tolist())
    except ValueError as error:
        raise ConfigError(_unknown_property(name)) from error


def _unknown_property(name: str) -> str:
    return (
        f"the property \\p{{{name}}} is not known; known are general categories such as L and Lu, and the scripts that "
        "tokenizers use, such as Han"
    )


@cache
def _case_pairs() -> dict[int, int]:
    return dict(_core.case_pairs().tolist())
