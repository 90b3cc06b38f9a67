"""Finding added tokens in plain Python: the twin of the native code, and the oracle of its tests."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from textmill import _core
from textmill.tokenizer.vocabulary import AddedToken

_WHITESPACE = {character.encode() for character in "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"} | {
    chr(code).encode() for code in range(0x2000, 0x200B)
}
_LEADING_WHITESPACE = re.compile(b"(?:" + b"|".join(map(re.escape, sorted(_WHITESPACE))) + b")*")


def split(tokens: Sequence[AddedToken], text: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (begin, end, id) of the tokens in a text and, with id -1, of what lies between them.

    A token that takes the whitespace after it may be followed by one that begins in that whitespace. As in Hugging
    Face, both are found, and what is left begins after the second.
    """
    at = 0
    for begin, end, token in _find({token.text.encode(): token for token in tokens}, text):
        if token.is_single_word and not _stands_alone(text, begin, end):
            continue
        first = max(_whitespace_begin(text, begin, at), at) if token.strips_left else begin
        if at < first:
            yield at, first, -1
        at = _whitespace_end(text, end) if token.strips_right else end
        yield min(first, at), at, token.id  # it may stand in what the one before took in
    if at < len(text):
        yield at, len(text), -1


def _find(tokens: dict[bytes, AddedToken], text: bytes) -> Iterator[tuple[int, int, AddedToken]]:
    lengths = sorted({len(token) for token in tokens}, reverse=True)
    at = 0
    while at < len(text):
        found = next((text[at : at + length] for length in lengths if text[at : at + length] in tokens), b"")
        if found:
            yield at, at + len(found), tokens[found]
        at += max(len(found), 1)


def _whitespace_begin(text: bytes, at: int, least: int) -> int:
    """Where the whitespace that ends at ``at`` begins, not before ``least``."""
    while at > least:
        size = next((size for size in (1, 2, 3) if text[max(at - size, least) : at] in _WHITESPACE), 0)
        if size == 0:
            break
        at -= size
    return at


def _whitespace_end(text: bytes, at: int) -> int:
    found = _LEADING_WHITESPACE.match(text, at)
    return found.end() if found else at


def _stands_alone(text: bytes, begin: int, end: int) -> bool:
    before = text[max(begin - 4, 0) : begin].decode("utf-8", "surrogateescape")
    after = text[end : end + 4].decode("utf-8", "surrogateescape")
    is_word = _word_test()
    return not (before and is_word(before[-1])) and not (after and is_word(after[0]))


@cache
def _word_test() -> Callable[[str], bool]:
    r"""Say whether a character is part of a word: ``\w`` of Rust's regex crate, which looks at added tokens' ends.

    It differs from the ``\w`` that splits text in fractions and superscripts of Latin-1 and in the two joiners.
    """
    ranges = _core.unicode_ranges("word").tolist()
    firsts = [first for first, _ in ranges]

    def is_word(character: str) -> bool:
        if character in "²³¹¼½¾":
            return False
        place = bisect_right(firsts, ord(character)) - 1
        return character in "\u200c\u200d" or (place >= 0 and ord(character) <= ranges[place][1])

    return is_word
