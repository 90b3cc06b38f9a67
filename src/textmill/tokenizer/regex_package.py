r"""Writing a regex for the ``regex`` package, which follows a newer Unicode and folds case its own way.

All that stands for one character is spelled out as ranges of code points, so that nothing of this is left to it.
"""

from __future__ import annotations

from textmill.tokenizer.character_sets import Ranges, as_class, complement, set_of
from textmill.tokenizer.regexes import SETS, Token, group_numbers, referred_group

_NEWLINE: Ranges = ((10, 10),)


def for_regex_package(tokens: list[Token]) -> str:
    """Write the tokens of a regex, or of one of its alternatives.

    Raises:
        ConfigError: it holds an escape or a property that is not reproduced exactly.
    """
    keeps_groups = any(token.kind == "reference" for token in tokens)
    numbers = group_numbers(tokens)
    return "".join(_written(token, numbers, keeps_groups=keeps_groups) for token in tokens)


def _written(token: Token, numbers: dict[str, int], *, keeps_groups: bool) -> str:
    if token.kind in SETS:
        return _class(_set(token))
    if token.kind == "anchor":
        return _anchor(token)
    if token.kind == "reference":
        return f"\\g<{referred_group(token, numbers)}>"
    if token.kind == "flags":
        return ""
    if token.kind == "opening":
        return opening(token.text, keeps_groups=keeps_groups)
    return token.text


def opening(text: str, *, keeps_groups: bool) -> str:
    """Write the opening of a group without its flags and name."""
    if text == "(" or (text.startswith(("(?P<", "(?<")) and text not in ("(?<=", "(?<!")):
        return "(" if keeps_groups else "(?:"
    return "(?:" if text.endswith(":") else text


def _set(token: Token) -> Ranges:
    if token.kind == "any":
        return complement(() if token.flags.dot_all else _NEWLINE)
    return set_of(token.text, ignore_case=token.flags.ignore_case)


def _class(ranges: Ranges) -> str:
    return as_class(ranges, "\\U{:08x}") if ranges else "(?!)"


def _anchor(token: Token) -> str:
    if token.text == "$" and token.flags.multi_line:
        return r"(?=\n|\Z)"
    if token.text == "^" and token.flags.multi_line:
        return r"(?:\A|(?<=\n))"
    if token.text in (r"\b", r"\B"):
        word = _class(set_of(r"\w"))
        before, after = (f"(?!{word})", f"(?={word})") if token.text == r"\b" else (f"(?={word})", f"(?!{word})")
        return f"(?:(?<={word}){before}|(?<!{word}){after})"
    return {"$": r"\Z", r"\z": r"\Z", "^": r"\A", r"\A": r"\A"}[token.text]
