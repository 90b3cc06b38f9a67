r"""Regexes as text: taking them apart, and writing them for other engines so that they match the same.

In a pattern ``\s``, ``\d``, ``\w`` and ``\p{..}`` mean the pinned Unicode version, ``$`` the end of the text (as in
tiktoken; Oniguruma means the end of a line), and ``{1,3}+`` gives nothing back (to Oniguruma it is a repetition).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache

from textmill import _core
from textmill.base.errors import ConfigError

# A class of characters, an escape, a quantifier with bounds, the opening of a group, or one character.
_TOKEN = re.compile(
    r"\[\^?\]?(?:\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\g<\w+>|\\."
    r"|\{\d*,?\d*\}\+?|\(\?(?:[a-zA-Z-]+:|[:=!>]|<[=!]|P?<\w+>|P=\w+)|.",
    re.DOTALL,
)
# What for_oniguruma writes for x{1,3}+, where x is one character or class.
_ATOMIC_BOUNDS = re.compile(r"\(\?>((?:\[(?:\\.|[^\]\\])*\]|\\[pP]\{[^}]*\}|\\.|[^\\()])\{\d*,?\d*\})\)", re.DOTALL)
_IN_CLASS = re.compile(r"\\[pP]\{[^}]*\}|\\x\{[^}]*\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\.|.", re.DOTALL)
_LITERAL_ESCAPES = set("nrtfv")
_SURROGATES = range(0xD800, 0xE000)
_LAST_CODE_POINT = 0x10FFFF
_GROUP_PREFIXES = ("Script=", "sc=", "General_Category=", "gc=")


def alternatives_of(regex: str) -> list[str]:
    r"""Cut a regex at the ``|`` that are in no group.

    One with a numbered backreference stays whole, since its groups are counted over all of it.
    """
    alternatives, depth = [""], 0
    for token in _TOKEN.findall(regex):
        if re.fullmatch(r"\\[1-9]", token):
            return [regex]
        depth += token.startswith("(") - (token == ")")
        if token == "|" and depth == 0:
            alternatives.append("")
        else:
            alternatives[-1] += token
    return alternatives


def for_oniguruma(regex: str) -> str:
    r"""Write a regex so that Oniguruma, the engine of Hugging Face's tokenizers, matches what ours does."""
    anchors = {"$": r"\z", "^": r"\A"}
    tokens = (anchors.get(token, _braced_hex(token)) for token in _TOKEN.findall(regex))
    return _around_bounds(tokens, "(?>", ")")


def from_oniguruma(regex: str) -> str:
    r"""Write a regex of Oniguruma, as a tokenizer.json holds it, so that ours matches the same."""
    anchors = {"$": r"(?=\n|\z)", "^": r"(?<![^\n])", r"\z": "$"}
    read = _around_bounds((anchors.get(token, token) for token in _TOKEN.findall(regex)), "(?:", ")+")
    return _ATOMIC_BOUNDS.sub(r"\1+", read)


def _around_bounds(tokens: Iterable[str], opening: str, closing: str) -> str:
    """Write ``x{1,3}+`` as ``x{1,3}`` in a group."""
    written: list[str] = []
    open_groups: list[int] = []
    atom = 0  # where the last thing that a quantifier can follow begins
    for token in tokens:
        if token.startswith("{") and token.endswith("+"):
            written[atom:] = [opening, *written[atom:], token[:-1], closing]
            continue
        if token == ")":
            atom = open_groups.pop() if open_groups else len(written)
        elif token not in ("*", "+", "?") and not token.startswith("{"):
            atom = len(written)
        if token.startswith("("):
            open_groups.append(len(written))
        written.append(token)
    return "".join(written)


def _braced_hex(token: str) -> str:
    return re.sub(r"\\x([0-9A-Fa-f]{2})", r"\\x{\1}", token) if token.startswith(("[", r"\x")) else token


def for_regex_package(regex: str) -> str:
    r"""Write a regex for the ``regex`` package, which follows a newer Unicode: classes become ranges.

    Raises:
        ConfigError: it holds an escape or a property that is not reproduced exactly.
    """
    return "".join(_spell_out(token, regex) for token in _TOKEN.findall(regex))


def _spell_out(token: str, regex: str) -> str:
    if token.startswith("["):
        return _spell_out_class(token, regex)
    if token in ("$", r"\z"):
        return r"\Z"
    if token in (r"\b", r"\B"):
        word = f"[{_as_class(_ranges('word'))}]"
        before, after = (f"(?!{word})", f"(?={word})") if token == r"\b" else (f"(?={word})", f"(?!{word})")
        return f"(?:(?<={word}){before}|(?<!{word}){after})"
    if re.fullmatch(r"\\(?:[1-9AZ]|g<\w+>)", token):
        return token
    return f"[{_spell_out_escape(token, regex)}]" if token.startswith("\\") else token


def _spell_out_class(token: str, regex: str) -> str:
    opening = "[^" if token.startswith("[^") else "["
    items = _IN_CLASS.findall(token[len(opening) : -1])
    if "[" in items or any(operation in token for operation in ("&&", "||", "--", "~~")):
        raise ConfigError(f"a class inside a class, or an operation on classes, is not reproduced: {token} in {regex}")
    return (
        opening + "".join(_spell_out_escape(item, regex) if len(item) > 1 else _escaped(item) for item in items) + "]"
    )


def _escaped(character: str) -> str:
    return character if character.isalnum() or character in "-^" else f"\\U{ord(character):08x}"


def _spell_out_escape(token: str, regex: str) -> str:
    """Write an escape as what stands between brackets."""
    letter = token[1]
    if letter in "sSdDwW":
        ranges = _ranges({"s": "whitespace", "d": "Nd", "w": "word"}[letter.lower()])
        return _as_class(_complement(ranges) if letter.isupper() else ranges)
    if letter in "pP":
        name = token[2:].strip("{}")
        is_negated = (letter == "P") != name.startswith("^")
        ranges = _property(name.removeprefix("^"), regex)
        return _as_class(_complement(ranges) if is_negated else ranges)
    if letter in "xu" and len(token) > 2:
        code = int(token[2:].strip("{}"), 16)
        if code in _SURROGATES or code > _LAST_CODE_POINT:
            raise ConfigError(f"U+{code:04X} is no character: {token} in the regex {regex}")
        return f"\\U{code:08x}"
    if letter in _LITERAL_ESCAPES:
        return token
    if letter.isalnum():
        raise ConfigError(f"the escape {token} is not reproduced exactly: it stands in the regex {regex}")
    return f"\\U{ord(letter):08x}"


def _property(name: str, regex: str) -> tuple[tuple[int, int], ...]:
    for prefix in _GROUP_PREFIXES:
        name = name.removeprefix(prefix)
    try:
        if name in ("whitespace", "word"):
            raise ValueError
        return _ranges(name)
    except ValueError as error:
        raise ConfigError(
            f"the property \\p{{{name}}} in the regex {regex} is not known; known are general categories such as L "
            "and Lu, and the scripts that tokenizers use, such as Han"
        ) from error


@cache
def _ranges(name: str) -> tuple[tuple[int, int], ...]:
    return tuple((first, last) for first, last in _core.unicode_ranges(name).tolist())


def _complement(ranges: tuple[tuple[int, int], ...]) -> Iterator[tuple[int, int]]:
    begin = 0
    for first, last in ranges:
        if first > begin:
            yield begin, first - 1
        begin = last + 1
    if begin <= _LAST_CODE_POINT:
        yield begin, _LAST_CODE_POINT


def _as_class(ranges: tuple[tuple[int, int], ...] | Iterator[tuple[int, int]]) -> str:
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)
