"""Finding added tokens in text, and the policy that decides whether they are looked for at all.

The rules are those of Hugging Face's ``tokenizers``: tokens that are not ``normalized`` are looked for in the text as
it is, the others in what these leave, normalised. The leftmost token wins, and of several there the longest.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Set
from functools import cache
from typing import Literal, NamedTuple

from textmill import _core
from textmill.base.errors import ConfigError, DataError, did_you_mean
from textmill.tokenizer.normalize import Segment, normalize
from textmill.tokenizer.vocabulary import AddedToken

# What "encode" may do with the texts of added tokens: take them as text, parse all, refuse them, or parse some.
SpecialPolicy = Literal["text", "parse", "forbid"] | Set[str]
_POLICIES = ("text", "parse", "forbid")

_WHITESPACE = {character.encode() for character in "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"} | {
    chr(code).encode() for code in range(0x2000, 0x200B)
}
_LEADING_WHITESPACE = re.compile(b"(?:" + b"|".join(map(re.escape, sorted(_WHITESPACE))) + b")*")


class Part(NamedTuple):
    """A stretch of a text: an added token, or ordinary text.

    Attributes:
        token_id: the id of the token, None for ordinary text.
        text: its bytes, normalised; with the whitespace that a token's flags take in.
        begin: where it begins in its segment, in normalised bytes.
        segment: the part of the text that it was cut from.
    """

    token_id: int | None
    text: bytes
    begin: int
    segment: Segment


class TokenMatcher:
    """Finds the texts of tokens in a byte string.

    A set of first bytes finds where a token may begin; there, only lengths that exist are tried, longest first. The
    time grows with the text and the number of different lengths, not with the number of tokens.
    """

    def __init__(self, tokens: Iterable[AddedToken], normalizer: str) -> None:
        self._tokens: dict[bytes, AddedToken] = {}
        for token in tokens:
            text = normalize(token.text.encode(), normalizer)
            if text in self._tokens:
                raise DataError(
                    f'the added tokens "{self._tokens[text].text}" and "{token.text}" are the same text once '
                    "normalised, so that no text says which is meant; leave one out"
                )
            self._tokens[text] = token
        lengths: dict[int, set[int]] = {}
        for text in self._tokens:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        first_bytes = b"".join(re.escape(bytes([first])) for first in sorted(self._lengths))
        self._first = re.compile(b"[" + first_bytes + b"]") if first_bytes else None

    def split(self, text: bytes) -> Iterator[tuple[int, int, int | None]]:
        """Yield (begin, end, id) of the tokens in a text and, with id None, of what lies between them.

        A token that takes the whitespace after it may be followed by one that begins in that whitespace. As in
        Hugging Face, both are found, and what is left begins after the second.
        """
        at = 0
        for begin, end, token in self._find(text):
            if token.is_single_word and not _stands_alone(text, begin, end):
                continue
            first = max(_whitespace_begin(text, begin, at), at) if token.strips_left else begin
            if at < first:
                yield at, first, None
            at = _whitespace_end(text, end) if token.strips_right else end
            yield first, at, token.id
        if at < len(text):
            yield at, len(text), None

    def _find(self, text: bytes) -> Iterator[tuple[int, int, AddedToken]]:
        at = 0
        while self._first is not None and (candidate := self._first.search(text, at)):
            begin = candidate.start()
            at = begin + 1
            for length in self._lengths[text[begin]]:
                token = self._tokens.get(text[begin : begin + length])
                if token is not None:
                    at = begin + length
                    yield begin, at, token
                    break


class AddedTokens:
    """The added tokens of one tokenizer. Immutable."""

    def __init__(self, tokens: tuple[AddedToken, ...], normalizer: str = "") -> None:
        self.ids = {token.text: token.id for token in tokens}
        self._tokens = tokens
        self._normalizer = normalizer
        self._all = self._matchers(tokens)

    def split(self, text: bytes, policy: SpecialPolicy) -> list[Part]:
        """Take a text apart into ordinary text and added tokens, as the policy says. Ordinary text is normalised.

        Raises:
            ConfigError: the policy is unknown, or names a token that this tokenizer does not have.
            DataError: the policy is "forbid" and the text holds an added token.
        """
        if not isinstance(policy, str):
            return self._split(text, *self._matchers(self._allowed(policy)))
        if policy not in _POLICIES:
            raise ConfigError(
                f'unknown policy for special tokens "{policy}"{did_you_mean(policy, _POLICIES)} '
                f"It may be {', '.join(_POLICIES)}, or a set of the tokens to parse"
            )
        if policy == "text":
            return self._split(text, None, None)
        parts = self._split(text, *self._all)
        if policy == "forbid":
            self._refuse_any(parts)
        return parts

    def _split(self, text: bytes, matcher: TokenMatcher | None, normalized: TokenMatcher | None) -> list[Part]:
        parts: list[Part] = []
        for begin, end, token_id in _split_by(matcher, text):
            original = text[begin:end]
            if token_id is not None:
                parts.append(Part(token_id, original, 0, Segment(begin, original, original)))
                continue
            segment = Segment(begin, original, normalize(original, self._normalizer))
            parts.extend(
                Part(inner_id, segment.text[inner_begin:inner_end], inner_begin, segment)
                for inner_begin, inner_end, inner_id in _split_by(normalized, segment.text)
            )
        return parts

    def _allowed(self, texts: Set[str]) -> tuple[AddedToken, ...]:
        for text in texts:
            if text not in self.ids:
                raise ConfigError(f'no special token is "{text}"{did_you_mean(str(text), self.ids)}')
        return tuple(token for token in self._tokens if token.text in texts)

    def _refuse_any(self, parts: list[Part]) -> None:
        for part in parts:
            if part.token_id is not None:
                text = next(text for text, token_id in self.ids.items() if token_id == part.token_id)
                raise DataError(
                    f'the text holds the special token "{text}" (id {part.token_id}), and special="forbid" allows '
                    'none; pass special="text" to encode it as ordinary text, or special="parse" to make it the token'
                )

    def _matchers(self, tokens: tuple[AddedToken, ...]) -> tuple[TokenMatcher | None, TokenMatcher | None]:
        as_it_is = [token for token in tokens if not token.is_normalized]
        normalized = [token for token in tokens if token.is_normalized]
        return (
            TokenMatcher(as_it_is, "") if as_it_is else None,
            TokenMatcher(normalized, self._normalizer) if normalized else None,
        )


def _split_by(matcher: TokenMatcher | None, text: bytes) -> Iterable[tuple[int, int, int | None]]:
    if matcher is not None:
        return matcher.split(text)
    return [(0, len(text), None)] if text else []


def _whitespace_begin(text: bytes, at: int, least: int) -> int:
    """Where the whitespace that ends at ``at`` begins, not before ``least``."""
    while at > least:
        size = next((size for size in (1, 2, 3) if text[max(at - size, 0) : at] in _WHITESPACE), 0)
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
