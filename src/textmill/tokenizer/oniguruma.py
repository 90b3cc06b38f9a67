r"""Regexes of Oniguruma, the engine of Hugging Face's tokenizers, from and to regexes that split alike here.

There ``^`` and ``$`` are the ends of a line, ``(?m)`` lets a dot be a newline, ``(?i)`` makes a group of the rest of
its group, ``{1,3}+`` repeats a repetition, ``{2}?`` is an optional one, and where case is ignored one character may
equal several ("ss" the sharp s). What cannot be said in the other way of writing is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from textmill.base.errors import ConfigError
from textmill.tokenizer.character_sets import Ranges, as_class, class_items, complement, folded, property_name, set_of
from textmill.tokenizer.regex_package import opening
from textmill.tokenizer.regexes import (
    SETS,
    Flags,
    Token,
    flag_letters,
    group_numbers,
    pieces_of,
    referred_group,
    tokens_of,
)

# Oniguruma lets \p{Lu} and \W be as they are where case is ignored, outside of classes.
_FOLDED_BY_NONE = ("property", "shorthand")
_HEX_DIGITS = "[0-9A-Fa-f]"
_HEX_BYTE = re.compile(r"\\x([0-9A-Fa-f]{2})")
_ANCHORS_READ = {"$": r"(?=\n|\z)", "^": r"(?<![^\n])(?=[\s\S])", r"\z": "$"}
_ANCHORS_WRITTEN = {"$": r"\z", "^": r"\A"}
_LINE_ANCHORS_WRITTEN = {"$": r"(?=\n|\z)", "^": r"(?<![^\n])"}
_LOOKAROUNDS = ("(?=", "(?!", "(?<=", "(?<!")
_OPENINGS = {"(", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>"}
# Two letters that together equal one character: the sharp s, and the ligatures.
_JOINED = {"ss", "st", "ff", "fi", "fl"}
_LAST_FOLDED_TO_MANY = 0xFB17


def from_oniguruma(regex: str) -> str:
    """Write a regex of Oniguruma, as a tokenizer.json holds it, so that ours matches the same.

    Raises:
        ConfigError: it holds what has no exact counterpart here.
    """
    try:
        return _Reader().read(pieces_of(regex))
    except ConfigError as error:
        raise ConfigError(f"{error}; it stands in the regex {regex[:200]!r} of Oniguruma's") from error


def for_oniguruma(regex: str) -> str:
    """Write a regex so that Oniguruma matches what ours does; raises ``ConfigError`` where it cannot be said."""
    tokens = tokens_of(regex)
    keeps_case = not any(token.kind == "flags" for token in tokens) and _fold_alike(tokens)
    keeps_groups = any(token.kind == "reference" for token in tokens)
    numbers = group_numbers(tokens)
    atoms = _Atoms()
    for token in tokens:
        if token.kind == "quantifier":
            _write_quantifier(atoms, token.text)
        elif token.kind == "opening":
            written = _written_opening(token, keeps_case=keeps_case, keeps_groups=keeps_groups)
            _check_behind(atoms, written)
            atoms.open(written)
        elif token.kind == "closing":
            atoms.close()
        elif token.kind in SETS:
            atoms.add(_written_set(token, keeps_case=keeps_case))
        elif token.kind == "reference":
            atoms.add(f"\\k<{referred_group(token, numbers)}>")
        elif token.kind == "anchor":
            anchors = _LINE_ANCHORS_WRITTEN if token.flags.multi_line else _ANCHORS_WRITTEN
            written = anchors.get(token.text, token.text)
            _check_behind(atoms, written)
            atoms.add(written, takes=False)
        elif token.kind == "bar":
            atoms.bar()
    return "".join(atoms.parts)


@dataclass(slots=True)
class _Group:
    """A group that is open, and what its present alternative and those before hold."""

    begin: int
    looks_behind: bool = False
    takes: bool = False
    is_anchored: bool = False
    has_bare_anchor: bool = False

    def end_alternative(self) -> None:
        """Note whether the alternative was nothing but an anchor."""
        self.has_bare_anchor = self.has_bare_anchor or (self.is_anchored and not self.takes)
        self.takes = self.is_anchored = False


class _Atoms:
    """A regex that grows at its end, and knows where the part begins that a quantifier would repeat."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self._groups = [_Group(0)]
        self._last = 0

    @property
    def looks_behind(self) -> bool:
        """Whether what comes next stands in a lookbehind."""
        return self._groups[-1].looks_behind

    def add(self, text: str, *, takes: bool = True) -> None:
        """Add what takes a character, or an anchor."""
        self._last = len(self.parts)
        self.parts.append(text)
        self._note(takes=takes)

    def bar(self) -> None:
        self.parts.append("|")
        self._groups[-1].end_alternative()

    def open(self, text: str) -> None:
        looks_behind = self.looks_behind or text.startswith(("(?<=", "(?<!"))
        self._groups.append(_Group(len(self.parts), looks_behind))
        self.parts.append(text)

    def close(self) -> None:
        group = self._groups.pop()
        group.end_alternative()
        self._last = group.begin
        self.parts.append(")")
        self._note(takes=not group.has_bare_anchor and not self.parts[group.begin].startswith(_LOOKAROUNDS))

    def _note(self, *, takes: bool) -> None:
        self._last_takes = takes
        self._groups[-1].takes |= takes
        self._groups[-1].is_anchored |= not takes

    def repeat(self, before: str, after: str) -> None:
        """Put what a quantifier repeats between two texts."""
        if not self._last_takes:
            raise ConfigError(
                "a quantifier of an anchor, or of a group with an alternative that is one, is not known to Oniguruma"
            )
        self.parts[self._last :] = [before + "".join(self.parts[self._last :]) + after]

    def last_group(self) -> list[str]:
        """Give the parts of the group that was closed last."""
        return self.parts[self._last :]


def _check_behind(atoms: _Atoms, text: str) -> None:
    if atoms.looks_behind and (text in ("(", r"\z") or text.startswith(_LOOKAROUNDS)):
        raise ConfigError(f"{text} in a lookbehind is not known to Oniguruma")


def _write_quantifier(atoms: _Atoms, text: str) -> None:
    if text.endswith("}+"):
        atoms.repeat("(?>", text[:-1] + ")")
    elif text.endswith("}?") and "," not in text:
        atoms.repeat("", text[:-1])
    else:
        atoms.repeat("", text)


def _written_opening(token: Token, *, keeps_case: bool, keeps_groups: bool) -> str:
    if keeps_case and token.text in ("(?i:", "(?-i:"):
        return token.text
    if keeps_case and "i" in "".join(flag_letters(token.text)):
        return "(?i:" if token.flags.ignore_case else "(?-i:"
    return opening(token.text, keeps_groups=keeps_groups)


def _written_set(token: Token, *, keeps_case: bool) -> str:
    if token.kind == "any":
        return r"(?m:.)" if token.flags.dot_all else "."
    if token.flags.ignore_case and not keeps_case:
        ranges = set_of(token.text, ignore_case=True)
        if ranges != set_of(token.text):
            return as_class(ranges, "\\x{{{:x}}}")
    if token.kind == "class":
        is_negated, items = class_items(token.text)
        return f"[{'^' if is_negated else ''}{''.join(map(_written_item, items))}]"
    return _written_item(token.text)


def _written_item(item: str) -> str:
    if item.startswith(("\\p", "\\P")):
        name, is_negated = property_name(item)
        return f"\\{'P' if is_negated else 'p'}{{{name}}}"
    return _HEX_BYTE.sub(r"\\x{\1}", item) if item.startswith("\\x") else item


class _Reader:
    """Oniguruma's tokens to a regex of ours, with the flags of each group."""

    def __init__(self) -> None:
        self._atoms = _Atoms()
        self._flags = Flags()
        self._around: list[tuple[Flags, int]] = []  # the flags before each group, and what (?i) opened in that
        self._num_opened = 0
        self._read: list[Token] = []

    def read(self, tokens: list[Token]) -> str:
        self._numbers = group_numbers(tokens)
        has_names = any(re.match(r"\(\?<\w", token.text) for token in tokens)
        for place, token in enumerate(tokens):
            if token.kind == "reference":
                self._read_reference(token, has_names=has_names)
            elif token.kind == "opening":
                self._read_opening(token.text)
            elif token.kind == "flags":
                self._read_flags(token.text)
            elif token.kind == "closing":
                self._read_closing()
            elif token.kind == "quantifier":
                self._read_quantifier(token.text)
            elif token.kind == "bar":
                self._atoms.bar()
            elif token.kind == "anchor":
                self._atoms.add(_ANCHORS_READ.get(token.text, token.text), takes=False)
            else:
                self._read_set(token, is_before_bound=_is_bound("".join(t.text for t in tokens[place : place + 12])))
            self._read.append(Token(token.kind, token.text, self._flags))
        self._close_opened()
        if not _fold_alike(token for token in self._read if token.kind not in _FOLDED_BY_NONE):
            raise ConfigError(
                "where case is ignored Oniguruma takes some characters for several others, or classes for larger ones, "
                "which is not reproduced"
            )
        return "".join(self._atoms.parts)

    def _read_reference(self, token: Token, *, has_names: bool) -> None:
        if has_names or not token.text[1:].isdecimal():
            raise ConfigError(f"{token.text} where groups have names, or a call of a group, is not reproduced")
        number = referred_group(Token("reference", token.text, self._flags), self._numbers)
        self._atoms.add(f"\\{number}")

    def _read_opening(self, text: str) -> None:
        self._around.append((self._flags, self._num_opened))
        self._num_opened = 0
        if text in _OPENINGS or text.startswith("(?<"):
            self._atoms.open(text)
        else:
            self._set_flags(text)
            self._atoms.open(self._flagged_opening(text))

    def _read_flags(self, text: str) -> None:
        self._set_flags(text)
        self._num_opened += 1
        self._atoms.open(self._flagged_opening(text))

    def _set_flags(self, text: str) -> None:
        on, off = flag_letters(text)
        if not on + off or set(on + off) - set("im"):
            raise ConfigError(f"{text} is not reproduced; of the flags i and m are")
        self._flags = Flags(
            ignore_case="i" not in off and ("i" in on or self._flags.ignore_case),
            dot_all="m" not in off and ("m" in on or self._flags.dot_all),
        )

    def _flagged_opening(self, text: str) -> str:
        if "i" not in "".join(flag_letters(text)):
            return "(?:"
        return "(?i:" if self._flags.ignore_case else "(?-i:"

    def _read_closing(self) -> None:
        self._close_opened()
        self._flags, self._num_opened = self._around.pop()
        self._atoms.close()
        group = self._atoms.last_group()
        # What for_oniguruma writes for x{1,3}+ comes back as it was.
        if len(group) == 3 and group[0] == "(?>" and re.search(r"[^\\]\{\d+(?:,\d*)?\}$", group[1]):
            self._atoms.parts[-3:] = [group[1] + "+"]

    def _close_opened(self) -> None:
        for _ in range(self._num_opened):
            self._atoms.close()

    def _read_quantifier(self, text: str) -> None:
        if text.endswith("}+") or (text.endswith("}?") and "," not in text):
            self._atoms.repeat("(?:", f"{text[:-1]}){text[-1]}")
        else:
            self._atoms.repeat("", text)

    def _read_set(self, token: Token, *, is_before_bound: bool) -> None:
        text = token.text
        if token.kind == "any":
            self._atoms.add(r"[\s\S]" if self._flags.dot_all else ".")
        elif text == "{" and is_before_bound:
            raise ConfigError("{,3} is a quantifier of Oniguruma's; {0,3} is the same")
        elif text == "{":
            self._atoms.add(r"\{")
        elif text == r"\Z":
            self._atoms.add(r"(?=\n?\z)", takes=False)
        elif text in (r"\h", r"\H"):
            self._atoms.add(_HEX_DIGITS if text == r"\h" else _HEX_DIGITS.replace("[", "[^"))
        elif token.kind in _FOLDED_BY_NONE and self._flags.ignore_case:
            self._atoms.add(f"(?-i:{_read_items(token)})")
        else:
            self._atoms.add(_read_items(token))


def _is_bound(text: str) -> bool:
    return re.match(r"\{,\d+\}", text) is not None


def _read_items(token: Token) -> str:
    for item in class_items(token.text)[1] if token.kind == "class" else [token.text]:
        if _HEX_BYTE.fullmatch(item) and int(item[2:], 16) >= 0x80:
            raise ConfigError(f"{item} is a byte and no character")
        if item.startswith((r"\p", r"\P")) and "{" not in item:
            raise ConfigError(f"{item} without braces is a letter and no property")
    set_of(token.text)
    return token.text


def _fold_alike(tokens: Iterable[Token]) -> bool:
    """Whether what stands where case is ignored is the same for Oniguruma, which folds several characters to one."""
    before = ""
    bars = [False]  # for each group that is open: whether it has alternatives
    for token in tokens:
        if token.kind == "opening":
            bars.append(False)
        elif token.kind == "bar":
            bars[-1], before = True, ""
        elif token.kind == "closing":
            before = "" if bars.pop() else before
        elif token.kind in SETS and token.flags.ignore_case and token.kind != "any":
            own, theirs = set_of(token.text, ignore_case=True), _oniguruma_set(token)
            letter = _only_letter(theirs)
            if own != theirs or before + letter in _JOINED or _equals_many(token, theirs):
                return False
            before = letter
        elif token.kind in SETS:
            before = ""
    return True


def _oniguruma_set(token: Token) -> Ranges:
    """The characters that one character, escape, property or class stands for in Oniguruma where case is ignored."""
    if token.kind in _FOLDED_BY_NONE:
        return set_of(token.text)
    if token.text.startswith("[^"):
        return complement(folded(complement(set_of(token.text))))
    return folded(set_of(token.text))


def _only_letter(ranges: Ranges) -> str:
    """The ASCII letter that all of a set are equal to, in lower case; empty where there is none."""
    letters = {chr(code).casefold() for first, last in ranges[:4] for code in range(first, min(last, first + 4) + 1)}
    return letters.pop() if len(letters) == 1 else ""


def _equals_many(token: Token, ranges: Ranges) -> bool:
    """Whether a character of a set equals several, or is one of several that equal one."""
    if token.kind in _FOLDED_BY_NONE or token.text.startswith("[^"):
        return False
    return any(first <= code <= last for first, last in ranges for code in _joined_characters())


@cache
def _joined_characters() -> frozenset[int]:
    """What folds to several characters, and what these are, but for ASCII. Unicode adds none to them any more."""
    joined = {}
    for code in range(0x80, _LAST_FOLDED_TO_MANY + 1):
        if len(chr(code).casefold()) > 1:
            joined[code] = chr(code).casefold()
    many = {ord(character) for text in joined.values() for character in text if not character.isascii()}
    return frozenset(joined) | frozenset(many)
