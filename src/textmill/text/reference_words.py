"""What words and sentences are, in regular expressions: the oracle of the native code.

Words come in two kinds over the same classes of characters: those that rules count (``split_words``), and those that
deduplication, decontamination and quality scores compare (``folded_words``).
"""

from __future__ import annotations

import string
import unicodedata
from typing import NamedTuple

import regex

_ALONE = (
    r"[[\p{L}&&[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
    r"\u0E80-\u0EFF\u1000-\u109F\u1780-\u17FF\uA9E0-\uA9FF\uAA60-\uAA7F]]\u30FC\uFF70\uFF9E\uFF9F]"
)
_MARK = r"[\p{M}\p{Cf}]"
_RUN = rf"[[\p{{L}}\p{{N}}]--{_ALONE}]"
_WORD = regex.compile(
    rf"(?:{_RUN}|{_MARK})(?:{_RUN}|{_MARK}|['’\-](?={_RUN})|(?<=\p{{N}})[.,](?=\p{{N}}))*"
    rf"|{_ALONE}{_MARK}*"
    rf"|(\S)\1*{_MARK}*",
    regex.V1,
)
_FOLDED_WORD = regex.compile(rf"{_ALONE}|{_RUN}(?:{_RUN}|{_MARK})*", regex.V1)
_IGNORED = regex.compile(_MARK)

_MARKS = ".?!…。！？"
_CLOSING = "\"')]}’”»」）"
_END = regex.compile(rf"([{_MARKS}]+)[{regex.escape(_CLOSING)}]*")
_ABBREVIATIONS = (
    "Mr Mrs Ms Dr Prof Rev Gen Sen Rep Gov Capt Lt Col Sgt St Mt Jr Sr vs etc Fig No Vol pp ca approx cf".split()
)
_SMALL = regex.compile("[a-zß-öø-ÿα-ωа-џ]")


def _representatives() -> dict[str, str]:
    """The character that stands for each one that has others equal to it where case is ignored.

    Those are equal that fold to the same, be it several characters: ß and ẞ to "ss", ﬅ and ﬆ to "st". No character
    behind the range has an upper or a lower case.
    """
    classes: dict[str, list[str]] = {}
    for character in map(chr, range(0x20000)):
        classes.setdefault(character.casefold(), []).append(character)
    return {
        each: min(equal, key=lambda one: (not ("a" <= one <= "z"), one)) for equal in classes.values() for each in equal
    }


_REPRESENTATIVES = _representatives()


def split_words(text: str) -> list[str]:
    """Split a text into words; see ``textmill.text.words.split_words``."""
    return [match[0] for match in _WORD.finditer(text)]


class FoldedWord(NamedTuple):
    """A word without case and marks, and its characters of the text."""

    folded: str
    begin: int
    end: int


def folded_words(text: str) -> list[FoldedWord]:
    """Find runs of letters and numbers, or letters that stand alone; marks and format characters are passed over."""
    return [FoldedWord(_folded(match[0]), match.start(), match.end()) for match in _FOLDED_WORD.finditer(text)]


def _folded(word: str) -> str:
    bases = (
        character if "가" <= character <= "힣" else unicodedata.normalize("NFD", character)[0]
        for character in word
        if not _IGNORED.match(character)
    )
    return "".join(_REPRESENTATIVES.get(base, base) for base in bases)


def split_sentences(text: str) -> list[str]:
    """Split a text into sentences; see ``textmill.text.words.split_sentences``."""
    sentences = []
    begin = 0
    for match in _END.finditer(text):
        if _is_end(text, match[1], match.start(), match.end()):
            sentences.append(text[begin : match.end()].strip())
            begin = match.end()
    if text[begin:].strip():
        sentences.append(text[begin:].strip())
    return sentences


def _is_end(text: str, marks: str, begin: int, end: int) -> bool:
    behind = text[end:]
    following = behind.lstrip()
    if not following:
        return True
    if any(mark in "。！？" for mark in marks):
        return True
    if len(following) == len(behind) or _SMALL.match(following):
        return False
    return marks != "." or not _is_abbreviation(text[:begin])


def _is_abbreviation(before: str) -> bool:
    word = before[len(before.rstrip(string.ascii_letters)) :]
    is_part = len(word) < len(before) and not before[: len(before) - len(word)][-1].isascii()
    return not is_part and (len(word) == 1 or word in _ABBREVIATIONS)
