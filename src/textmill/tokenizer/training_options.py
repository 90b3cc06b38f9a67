"""What ``Tokenizer.train`` was asked for, checked before any text is read."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from textmill.base.errors import ConfigError
from textmill.tokenizer.threads import check_threads
from textmill.tokenizer.utf8 import to_bytes
from textmill.tokenizer.vocabulary import Vocabulary

TIE = "hf"
_MAX_SEED_BYTES = 1024
_MAX_COUNT = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """The arguments of ``Tokenizer.train``.

    Attributes:
        vocab_size: bytes, merges and special tokens together.
        pattern: how text is split.
        special_tokens: texts of control tokens, each once.
        threads: zero is one for each core.
        memory_limit: in bytes; zero is no limit.
        min_frequency: how often a pair must stand in the text to be merged.
        max_token_length: tokens of more than two bytes have fewer bytes than this; zero is no limit.
        seeds: what must be a token.
        extend: the vocabulary that stays as it is.
    """

    vocab_size: int
    pattern: str
    special_tokens: tuple[str, ...]
    threads: int
    memory_limit: int
    min_frequency: int
    max_token_length: int
    seeds: tuple[bytes, ...]
    extend: Vocabulary | None


def check_options(
    *,
    vocab_size: int,
    pattern: str,
    special_tokens: Sequence[str],
    tie: str,
    threads: int | None,
    memory_limit: int | None,
    min_frequency: int,
    max_token_length: int | None,
    seed_tokens: Sequence[str | bytes],
    extend: Vocabulary | None,
) -> TrainingOptions:
    """Check arguments as users give them; raises ``ConfigError`` for the first that is wrong."""
    if tie != TIE:
        raise ConfigError(f'unknown tie rule "{tie}"; the only one is "{TIE}": of equal pairs, the smallest ids first')
    if not isinstance(pattern, str):
        raise ConfigError(f"pattern is {pattern!r}, and must be a name such as cl100k, or a regex")
    return TrainingOptions(
        vocab_size=_count("vocab_size", vocab_size, 0, "a whole number of tokens"),
        pattern=pattern,
        special_tokens=_special_tokens(special_tokens),
        threads=check_threads(threads),
        memory_limit=0
        if memory_limit is None
        else _count("memory_limit", memory_limit, 1, "a number of bytes, or None for no limit"),
        min_frequency=_count("min_frequency", min_frequency, 0, "a number of occurrences from 0 on"),
        max_token_length=0
        if max_token_length is None
        else _count("max_token_length", max_token_length, 2, "a number of bytes from 2 on, or None for no limit"),
        seeds=_seeds(seed_tokens),
        extend=extend,
    )


def _count(name: str, value: Any, least: int, meaning: str) -> int:
    """Take whole numbers of any type, numpy's among them."""
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is not None and number > _MAX_COUNT:
        raise ConfigError(
            f"{name} is {number if number < 1 << 128 else 'a number of hundreds of digits'}, far too many"
        )
    if number is None or number < least:
        raise ConfigError(f"{name} is {value!r}, and must be {meaning}")
    return number


def _listed(name: str, value: Any, example: str) -> tuple[Any, ...]:
    if isinstance(value, str | bytes):
        raise ConfigError(f"{name} is the one text {value!r}; give a list of them: [{example}]")
    if not isinstance(value, Iterable):
        raise ConfigError(f"{name} is {value!r}, and must be a list, such as [{example}]; leave it out for none")
    return tuple(value)


def _special_tokens(special_tokens: Any) -> tuple[str, ...]:
    tokens = _listed("special_tokens", special_tokens, '"<|endoftext|>"')
    for token in tokens:
        if not isinstance(token, str) or not token:
            raise ConfigError(f"the special token {token!r} must be a text such as <|endoftext|>")
        if tokens.count(token) > 1:
            raise ConfigError(f'the special token "{token}" is given {tokens.count(token)} times')
        if any(0xD800 <= ord(character) <= 0xDFFF for character in token):
            raise ConfigError(f"the special token {token!r} holds a lone surrogate, which has no UTF-8")
    return tokens


def _seeds(seed_tokens: Any) -> tuple[bytes, ...]:
    seeds = []
    for seed in _listed("seed_tokens", seed_tokens, '" the"'):
        data = to_bytes(seed) if isinstance(seed, str) else seed
        if not isinstance(data, bytes) or not 0 < len(data) <= _MAX_SEED_BYTES:
            raise ConfigError(f"the seed token {str(seed)[:80]!r} must be a text of 1 to {_MAX_SEED_BYTES} bytes")
        seeds.append(data)
    return tuple(seeds)
