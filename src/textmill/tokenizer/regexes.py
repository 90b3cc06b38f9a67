r"""Regexes as text, taken apart into tokens.

In a pattern ``\s``, ``\d``, ``\w`` and ``\p{..}`` mean the pinned Unicode version, ``^`` and ``$`` the two ends of the
text (as in tiktoken), ``{1,3}+`` gives nothing back, and ``(?i)`` holds up to the end of the group that it stands in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from textmill.base.errors import ConfigError

_KINDS = re.compile(
    r"(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])"
    r"|(?P<property>\\[pP](?:\{[^}]*\}|[A-Za-z]))"
    r"|(?P<code>\\x\{[0-9A-Fa-f]+\}|\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4})"
    r"|(?P<reference>\\[1-9][0-9]*|\\g<\w+>|\(\?P=\w+\))"
    r"|(?P<anchor>[$^]|\\[AzbB])"
    r"|(?P<shorthand>\\[sSdDwW])"
    r"|(?P<escape>\\.)"
    r"|(?P<quantifier>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})[?+]?)"
    r"|(?P<flags>\(\?[A-Za-z-]+\))"
    r"|(?P<opening>\(\?(?:[A-Za-z-]*:|=|!|<=|<!|>|P?<\w+>)|\((?![?*]))"
    r"|(?P<closing>\))"
    r"|(?P<bar>\|)"
    r"|(?P<any>\.)"
    r"|(?P<character>[^\[(])"
    r"|(?P<wrong>.)",
    re.DOTALL,
)
# What stands for one character.
SETS = ("class", "property", "code", "shorthand", "escape", "any", "character")
_NAMED_GROUP = re.compile(r"\(\?P?<(\w+)>")
_BOUNDS = re.compile(r"\{([0-9]+)(?:,([0-9]*))?\}")
_MOST_REPEATS = 100_000  # Oniguruma's limit


@dataclass(frozen=True, slots=True)
class Flags:
    """What holds for a part of a regex: (?i), (?m) for ^ and $ at each line, and (?s) for a dot that is a newline."""

    ignore_case: bool = False
    multi_line: bool = False
    dot_all: bool = False


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a regex, and the flags that hold for it."""

    kind: str
    text: str
    flags: Flags = Flags()


def pieces_of(regex: str) -> list[Token]:
    """Cut a regex into tokens without flags.

    Raises:
        ConfigError: a class or a group is not closed, or a quantifier has nothing to repeat.
    """
    tokens = [Token(str(found.lastgroup), found[0]) for found in _KINDS.finditer(regex)]
    depth = 0
    before = "opening"
    for token in tokens:
        depth += (token.kind == "opening") - (token.kind == "closing")
        if token.kind == "wrong" or depth < 0:
            raise ConfigError(f"{_around(regex, token)} is not closed, not opened, or of a kind that is not reproduced")
        if token.kind == "quantifier":
            _check_quantifier(token.text, before, regex)
        before = token.kind
    if depth:
        raise ConfigError(f"{depth} groups are not closed in the regex {regex[:80]!r}")
    return tokens


def tokens_of(regex: str) -> list[Token]:
    """Cut a regex into tokens, each with its flags.

    Raises:
        ConfigError: it is no regex, or holds a kind of group or flag that is not reproduced.
    """
    flags, around = Flags(), list[Flags]()
    tokens = []
    for token in pieces_of(regex):
        if token.kind == "character" and token.text == "{":
            raise ConfigError(f"a {{ that is no quantifier such as {{1,3}} stands in the regex {regex[:80]!r}")
        if token.kind == "opening":
            around.append(flags)
        if token.kind in ("opening", "flags"):
            flags = _with_letters(flags, token.text)
        tokens.append(Token(token.kind, token.text, flags))
        if token.kind == "closing":
            flags = around.pop()
    return tokens


def alternatives(tokens: list[Token]) -> list[list[Token]]:
    """Cut a regex at the ``|`` that are in no group.

    One with a backreference stays whole, since its groups are counted over all of it.
    """
    if any(token.kind == "reference" for token in tokens):
        return [tokens]
    cut, depth = [list[Token]()], 0
    for token in tokens:
        depth += (token.kind == "opening") - (token.kind == "closing")
        if token.kind == "bar" and depth == 0:
            cut.append([])
        else:
            cut[-1].append(token)
    return cut


def alternatives_of(regex: str) -> list[str]:
    """Cut a regex at the ``|`` that are in no group, as ``alternatives`` does."""
    return ["".join(token.text for token in tokens) for tokens in alternatives(tokens_of(regex))]


def flag_letters(text: str) -> tuple[str, str]:
    """Give the flags that an opening such as ``(?i-s:`` sets and unsets."""
    found = re.fullmatch(r"\(\?([A-Za-z]*)(?:-([A-Za-z]*))?[:)]", text)
    return (found[1], found[2] or "") if found else ("", "")


def bounds_of(quantifier: str) -> tuple[int, int | None]:
    """Give how often a quantifier such as ``{1,3}`` repeats, at least and at most; None is without end."""
    if found := _BOUNDS.match(quantifier):
        least = int(found[1][:9])
        return least, least if found[2] is None else int(found[2][:9]) if found[2] else None
    return {"*": (0, None), "+": (1, None), "?": (0, 1)}[quantifier[0]]


def group_numbers(tokens: list[Token]) -> dict[str, int]:
    """Give the number of each named group, and under the empty name the number of the last group of all."""
    numbers, number = dict[str, int](), 0
    for token in tokens:
        named = _NAMED_GROUP.fullmatch(token.text)
        if token.kind == "opening" and (named or token.text == "("):
            number += 1
            numbers[named[1] if named else ""] = numbers[""] = number
    return numbers


def referred_group(reference: Token, numbers: dict[str, int]) -> int:
    """Give the number of the group that a backreference names; raises ``ConfigError`` where there is none.

    ``numbers`` are those of ``group_numbers``.
    """
    name = re.sub(r"^\\g<|^\(\?P=|^\\|[>)]$", "", reference.text)
    number = int(name[:9]) if name.isdecimal() else numbers.get(name, 0)
    if not 0 < number <= numbers.get("", 0):
        raise ConfigError(f"the backreference {reference.text} is to a group that is not there")
    if reference.flags.ignore_case:
        raise ConfigError(f"the backreference {reference.text} where case is ignored is not reproduced")
    return number


def _with_letters(flags: Flags, text: str) -> Flags:
    on, off = flag_letters(text)
    if wrong := set(on + off) - set("ims"):
        raise ConfigError(f"the flag {min(wrong)} in {text} is not reproduced; i, m and s are")

    def value(letter: str, *, before: bool) -> bool:
        return letter not in off and (letter in on or before)

    return Flags(
        value("i", before=flags.ignore_case), value("m", before=flags.multi_line), value("s", before=flags.dot_all)
    )


def _check_quantifier(text: str, before: str, regex: str) -> None:
    if before in ("opening", "bar", "flags", "quantifier"):
        raise ConfigError(f"the quantifier {text} has nothing to repeat, or another quantifier, in {regex[:80]!r}")
    least, most = bounds_of(text)
    if max(least, most or 0) > _MOST_REPEATS or (most is not None and most < least):
        raise ConfigError(f"the quantifier {text} is not from one number to a larger one up to {_MOST_REPEATS}")


def _around(regex: str, token: Token) -> str:
    return f"{token.text!r} in the regex {regex[:80]!r}"
