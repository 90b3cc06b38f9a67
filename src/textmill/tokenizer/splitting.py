"""From the regexes of a pattern to what splits text: the native automaton, or the ``regex`` package where it cannot.

The automaton matches what can be matched in one pass. Backreferences, lookbehind and longer lookahead are left to a
backtracking engine with the same Unicode tables: slower, with a limit to the time, and just as exact.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING

from textmill import _core
from textmill.base.errors import ConfigError
from textmill.base.isa import check_isa
from textmill.tokenizer.regexes import alternatives, alternatives_of, tokens_of

if TYPE_CHECKING:
    import regex

# A backtracking engine can take exponential time. What it takes for sound patterns is below a second for a megabyte: of
# the processor, as other threads and processes may have it for most of the time.
_TIMEOUT_S = 5.0
_TIMEOUT_S_PER_BYTE = 1e-5

Pieces = list[tuple[str, int]]


@lru_cache(maxsize=64)
def splitter_of(regexes: tuple[str, ...]) -> _core.Splitter:
    """Compile the regex of each stage; raises ``ConfigError`` for what is wrong or cannot be reproduced exactly."""
    if any(0xD800 <= ord(character) <= 0xDFFF for text in regexes for character in text):
        raise ConfigError(f"the pattern {' then '.join(regexes)!r} holds a lone surrogate, which no text does")
    check_isa()  # refused further down, it would pass for a regex that only the slower engine takes
    try:
        return _core.Splitter(regexes)
    except ValueError as error:
        refusal = str(error)
    if not regexes:
        raise ConfigError(refusal)
    try:
        compiled_stages(regexes)
    except ConfigError as error:
        raise ConfigError(f"{error}. Our own engine does not take it either: {refusal}") from error
    return _core.Splitter(regexes, partial(_ends, regexes))


@cache
def compiled_stages(regexes: tuple[str, ...]) -> tuple[regex.Pattern[str], ...]:
    """Compile for the ``regex`` package, each alternative a group where there are several; raises ``ConfigError``."""
    import regex  # few patterns need it

    from textmill.tokenizer.regex_package import for_regex_package

    stages = []
    for text in regexes:
        try:
            written = [for_regex_package(alternative) for alternative in alternatives(tokens_of(text))]
        except ConfigError as error:
            raise ConfigError(f"{error}; it stands in the regex {text[:200]!r}") from error
        groups = [f"(?P<alternative_{i}>{alternative})" for i, alternative in enumerate(written)]
        try:
            stages.append(regex.compile("|".join(groups) if len(groups) > 1 else written[0]))
        except (regex.error, RecursionError, OverflowError) as error:
            raise ConfigError(f"the regex {text!r} does not compile: {error}") from error
    return tuple(stages)


def split(regexes: tuple[str, ...], text: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each piece of a text, and the number of the alternative that matched it, counted over all stages.

    Bytes that are not UTF-8 are the lone surrogates of Python's ``surrogateescape``.

    Raises:
        ConfigError: the regexes take too long on this text.
    """
    seconds = _TIMEOUT_S + _TIMEOUT_S_PER_BYTE * len(text)
    deadline = time.thread_time() + seconds
    pieces: Pieces = [(text.decode("utf-8", "surrogateescape"), _core.GAP)]
    first_alternative = 0
    try:
        for stage, stage_regex in zip(compiled_stages(regexes), regexes, strict=True):
            pieces = [
                (piece, first_alternative + number if number != _core.GAP else made_by)
                for whole, made_by in pieces
                for piece, number in _split_stage(stage, whole, deadline)
            ]
            first_alternative += len(alternatives_of(stage_regex))
    except TimeoutError as error:
        raise ConfigError(
            f"the pattern {' then '.join(regexes)!r} took more than {seconds:.1f} s to split a text of {len(text)} "
            "bytes; it backtracks too much: write it without nested repetitions or long lookahead"
        ) from error
    for piece, number in pieces:
        yield piece.encode("utf-8", "surrogateescape"), number


def _split_stage(stage: regex.Pattern[str], text: str, deadline: float) -> Iterator[tuple[str, int]]:
    begin = at = 0
    while at < len(text):
        seconds_left = deadline - time.thread_time()
        if seconds_left <= 0:
            raise TimeoutError
        match = stage.search(text, at, timeout=seconds_left)
        if match is None:
            break
        if match.start() > begin:
            yield text[begin : match.start()], _core.GAP
        begin, at = match.end(), max(match.end(), match.start() + 1)
        if match.end() > match.start():
            yield match[0], _alternative(match)
    if begin < len(text):
        yield text[begin:], _core.GAP


def _alternative(match: regex.Match[str]) -> int:
    groups = match.groupdict()
    return next((i for i in range(len(groups)) if groups.get(f"alternative_{i}") is not None), 0)


def _ends(regexes: tuple[str, ...], text: bytes) -> Iterator[tuple[int, int]]:
    end = 0
    for piece, number in split(regexes, text):
        end += len(piece)
        yield end, number
