"""Finding added tokens in text, and the policy that decides whether they are looked for at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from typing import Literal

from textmill.base.errors import ConfigError, DataError, did_you_mean
from textmill.tokenizer.vocabulary import AddedToken

# What "encode" may do with the texts of added tokens: take them as text, parse all, refuse them, or parse some.
SpecialPolicy = Literal["text", "parse", "forbid"] | Set[str]
_POLICIES = ("text", "parse", "forbid")


class TokenMatcher:
    """Finds the texts of tokens in a byte string: the leftmost one, and of several there the longest.

    A set of first bytes finds where a token may begin; there, only lengths that exist are tried, longest first. The
    time grows with the text and the number of different lengths, not with the number of tokens.
    """

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        self._ids = {token.text.encode(): token.id for token in tokens}
        lengths: dict[int, set[int]] = {}
        for text in self._ids:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        first_bytes = b"".join(re.escape(bytes([first])) for first in sorted(self._lengths))
        self._first = re.compile(b"[" + first_bytes + b"]") if first_bytes else None

    def find(self, text: bytes) -> Iterator[tuple[int, int, int]]:
        """Yield (begin, end, id) of each token found, from left to right, none overlapping."""
        at = 0
        while self._first is not None and (candidate := self._first.search(text, at)):
            begin = candidate.start()
            at = begin + 1
            for length in self._lengths[text[begin]]:
                token_id = self._ids.get(text[begin : begin + length])
                if token_id is not None:
                    yield begin, begin + length, token_id
                    at = begin + length
                    break


class AddedTokens:
    """The added tokens of one tokenizer. Immutable."""

    def __init__(self, tokens: tuple[AddedToken, ...]) -> None:
        self.ids = {token.text: token.id for token in tokens}
        self._tokens = tokens
        self._all = self._matchers(tokens)

    def split(self, text: bytes, policy: SpecialPolicy) -> list[bytes | int]:
        """Take a text apart into ordinary text (bytes) and the ids of added tokens (int), as the policy says.

        Raises:
            ConfigError: the policy is unknown, or names a token that this tokenizer does not have.
            DataError: the policy is "forbid" and the text holds an added token.
        """
        if not isinstance(policy, str):
            return _split(text, self._matchers(self._allowed(policy)))
        if policy not in _POLICIES:
            raise ConfigError(
                f'unknown policy for special tokens "{policy}"{did_you_mean(policy, _POLICIES)} '
                f"It may be {', '.join(_POLICIES)}, or a set of the tokens to parse"
            )
        if policy == "text":
            return [text]
        parts = _split(text, self._all)
        if policy == "forbid":
            self._refuse_any(parts)
        return parts

    def _allowed(self, texts: Set[str]) -> tuple[AddedToken, ...]:
        for text in texts:
            if text not in self.ids:
                raise ConfigError(f'no special token is "{text}"{did_you_mean(str(text), self.ids)}')
        return tuple(token for token in self._tokens if token.text in texts)

    def _refuse_any(self, parts: list[bytes | int]) -> None:
        for part in parts:
            if isinstance(part, int):
                text = next(text for text, token_id in self.ids.items() if token_id == part)
                raise DataError(
                    f'the text holds the special token "{text}" (id {part}), and special="forbid" allows none; '
                    'pass special="text" to encode it as ordinary text, or special="parse" to make it the token'
                )

    @staticmethod
    def _matchers(tokens: tuple[AddedToken, ...]) -> tuple[TokenMatcher, ...]:
        # Hugging Face looks for tokens that are not "normalized" first, then for the others in what is left.
        passes = ([t for t in tokens if not t.is_normalized], [t for t in tokens if t.is_normalized])
        return tuple(TokenMatcher(part) for part in passes if part)


def _split(text: bytes, matchers: tuple[TokenMatcher, ...]) -> list[bytes | int]:
    parts: list[bytes | int] = [text]
    for matcher in matchers:
        split: list[bytes | int] = []
        for part in parts:
            split.extend([part] if isinstance(part, int) else _split_by(part, matcher))
        parts = split
    return parts


def _split_by(text: bytes, matcher: TokenMatcher) -> Iterator[bytes | int]:
    at = 0
    for begin, end, token_id in matcher.find(text):
        if begin > at:
            yield text[at:begin]
        yield token_id
        at = end
    if at < len(text):
        yield text[at:]
