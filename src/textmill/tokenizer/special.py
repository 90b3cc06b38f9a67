"""Finding added tokens in text, and the policy that decides whether they are looked for at all.

The rules are those of Hugging Face's ``tokenizers``: tokens that are not ``normalized`` are looked for in the text as
it is, the others in what these leave, normalised. The leftmost token wins, and of several there the longest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from textmill import _core
from textmill.base.errors import ConfigError, DataError, did_you_mean
from textmill.tokenizer.normalize import Segment, normalize
from textmill.tokenizer.vocabulary import AddedToken

# What "encode" may do with the texts of added tokens: take them as text, parse all, refuse them, or parse some.
SpecialPolicy = Literal["text", "parse", "forbid"] | Set[str]
_POLICIES = ("text", "parse", "forbid")
_SHOWN_TOKENS = 8
_MAX_KEPT_SETS = 8

# Of the tokens to look for in a text as it is, and of those for what they leave, normalised.
Matchers = tuple[_core.AddedTokens | None, _core.AddedTokens | None]


class Part(NamedTuple):
    """A stretch of a text: an added token, or ordinary text.

    Attributes:
        token_id: the id of the token, None for ordinary text.
        begin, end: its bytes in its segment, normalised; with the whitespace that a token's flags take in.
        segment: the part of the text that it was cut from.
    """

    token_id: int | None
    begin: int
    end: int
    segment: Segment

    @property
    def text(self) -> bytes:
        """Its bytes, normalised."""
        return self.segment.text[self.begin : self.end]


class AddedTokens:
    """The added tokens of one tokenizer. Immutable.

    Raises:
        DataError: two tokens are the same text once normalised, or the texts are longer than any tokenizer's.
    """

    def __init__(self, tokens: tuple[AddedToken, ...], normalizer: str = "") -> None:
        self.ids = {token.text: token.id for token in tokens}
        self._tokens = tokens
        self._normalizer = normalizer
        self._all = self._matchers(tokens)
        self._some = lru_cache(maxsize=_MAX_KEPT_SETS)(self._matchers_of)

    def split(self, text: bytes, policy: SpecialPolicy) -> list[Part]:
        """Take a text apart into ordinary text and added tokens, as the policy says. Ordinary text is normalised.

        Raises:
            ConfigError: the policy is unknown, or names a token that this tokenizer does not have.
            DataError: the policy is "forbid" and the text holds an added token.
        """
        if policy == "text":
            return self._split(text, (None, None))
        if policy == "parse":
            return self._split(text, self._all)
        if policy == "forbid":
            parts = self._split(text, self._all)
            self._refuse_any(parts)
            return parts
        if isinstance(policy, Set):
            return self._split(text, self._some(frozenset(policy)))
        if isinstance(policy, list | tuple):
            raise ConfigError(f"special is a {type(policy).__name__}, and must be a set: special=set(...)")
        guess = did_you_mean(policy, _POLICIES) if isinstance(policy, str) else "."
        raise ConfigError(f"special is {policy!r}{guess} It may be {', '.join(_POLICIES)}, or a set of tokens to parse")

    def _split(self, text: bytes, matchers: Matchers) -> list[Part]:
        as_it_is, normalized = matchers
        whole = Segment(0, text, text)
        parts: list[Part] = []
        for begin, end, token_id in _rows(as_it_is, text):
            if token_id >= 0:
                parts.append(Part(token_id, begin, end, whole))
            elif normalized is None and not self._normalizer:
                parts.append(Part(None, begin, end, whole))
            else:
                original = text[begin:end]
                segment = Segment(begin, original, normalize(original, self._normalizer))
                parts.extend(
                    Part(inner_id if inner_id >= 0 else None, inner_begin, inner_end, segment)
                    for inner_begin, inner_end, inner_id in _rows(normalized, segment.text)
                )
        return parts

    def _matchers_of(self, texts: frozenset[str]) -> Matchers:
        for text in texts:
            if text not in self.ids:
                known = ", ".join(list(self.ids)[:_SHOWN_TOKENS]) + (", ..." if len(self.ids) > _SHOWN_TOKENS else "")
                raise ConfigError(
                    f'no special token is "{text}"{did_you_mean(str(text), self.ids)} There are {known or "none"}'
                )
        return self._matchers([token for token in self._tokens if token.text in texts])

    def _refuse_any(self, parts: list[Part]) -> None:
        for part in parts:
            if part.token_id is not None:
                text = next(text for text, token_id in self.ids.items() if token_id == part.token_id)
                raise DataError(
                    f'the text holds the special token "{text}" (id {part.token_id}), and special="forbid" allows '
                    'none; pass special="text" to encode it as ordinary text, or special="parse" to make it the token'
                )

    def _matchers(self, tokens: Iterable[AddedToken]) -> Matchers:
        tokens = list(tokens)
        return (
            _matcher([token for token in tokens if not token.is_normalized], ""),
            _matcher([token for token in tokens if token.is_normalized], self._normalizer),
        )


def _matcher(tokens: Sequence[AddedToken], normalizer: str) -> _core.AddedTokens | None:
    if not tokens:
        return None
    by_text: dict[bytes, AddedToken] = {}
    for token in tokens:
        text = normalize(token.text.encode(), normalizer)
        if text in by_text:
            raise DataError(
                f'the added tokens "{by_text[text].text}" and "{token.text}" are the same text once normalised, so '
                "that no text says which is meant; leave one out"
            )
        by_text[text] = token
    flags = [(token.id, token.is_single_word, token.strips_left, token.strips_right) for token in tokens]
    try:
        return _core.AddedTokens(list(by_text), np.array(flags, dtype=np.uint32))
    except ValueError as error:
        raise DataError(str(error)) from error


def _rows(matcher: _core.AddedTokens | None, text: bytes) -> Iterable[tuple[int, int, int]]:
    """(begin, end, id) of the parts of a text; the id is -1 for ordinary text."""
    if matcher is not None:
        return zip(*matcher.split(text).T.tolist(), strict=True)  # three long lists are made faster than many short
    return [(0, len(text), -1)] if text else []
