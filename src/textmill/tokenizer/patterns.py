"""The patterns that split text into pieces: their names, their regexes, and how a tokenizer.json writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textmill.base.errors import ConfigError, did_you_mean

# The alternatives as the native scanner numbers them (cpp/tokenizer/scanner.h).
CONTRACTION, LETTERS, NUMBERS, OTHER, NEWLINES, LEADING_SPACES, SPACES, CHARACTER = range(8)


@dataclass(frozen=True, slots=True)
class Alternative:
    """One alternative of a pattern: the scanner's number for it, a name for people, and its regex."""

    number: int
    name: str
    regex: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way to split text: the alternatives in order; the leftmost one that matches wins."""

    name: str
    alternatives: tuple[Alternative, ...]

    @property
    def regex(self) -> str:
        r"""The whole pattern, for an engine that knows ``\p{L}``, ``\p{N}`` and lookahead."""
        return "|".join(alternative.regex for alternative in self.alternatives)

    def alternative(self, number: int) -> Alternative:
        """Find an alternative by the scanner's number."""
        return next(alternative for alternative in self.alternatives if alternative.number == number)


_WHITESPACE = (
    Alternative(LEADING_SPACES, "whitespace but its last character", r"\s+(?!\S)"),
    Alternative(SPACES, "whitespace", r"\s+"),
)

GPT2 = Pattern(
    "gpt2",
    (
        Alternative(CONTRACTION, "contraction", "'s|'t|'re|'ve|'m|'ll|'d"),
        Alternative(LETTERS, "letters", r" ?\p{L}+"),
        Alternative(NUMBERS, "numbers", r" ?\p{N}+"),
        Alternative(OTHER, "neither letters, numbers nor whitespace", r" ?[^\s\p{L}\p{N}]+"),
        *_WHITESPACE,
    ),
)

# The original form, which Llama 3 and Hugging Face write. tiktoken's present form splits "a\n  " at another place.
CL100K = Pattern(
    "cl100k",
    (
        Alternative(CONTRACTION, "contraction", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"),
        Alternative(LETTERS, "letters", r"[^\r\n\p{L}\p{N}]?\p{L}+"),
        Alternative(NUMBERS, "one to three numbers", r"\p{N}{1,3}"),
        Alternative(OTHER, "neither letters, numbers nor whitespace", r" ?[^\s\p{L}\p{N}]+[\r\n]*"),
        Alternative(NEWLINES, "whitespace up to a newline", r"\s*[\r\n]+"),
        *_WHITESPACE,
    ),
)

CHAR = Pattern("char", (Alternative(CHARACTER, "one character", r"[\s\S]"),))

PATTERNS = {pattern.name: pattern for pattern in (GPT2, CL100K, CHAR)}


def pattern_named(name: str) -> Pattern:
    """Find a pattern by its name; raises ``ConfigError`` that names the nearest one."""
    if name not in PATTERNS:
        raise ConfigError(f'unknown pattern "{name}"{did_you_mean(str(name), PATTERNS)} Known: {", ".join(PATTERNS)}')
    return PATTERNS[name]


def to_pre_tokenizer(pattern: Pattern) -> dict[str, Any]:
    """Write a pattern as the ``pre_tokenizer`` of a tokenizer.json."""
    if pattern is GPT2:
        return _byte_level(use_regex=True)
    split = {"type": "Split", "pattern": {"Regex": pattern.regex}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _byte_level(use_regex=False)]}


def pattern_with_regex(regex: str) -> Pattern | None:
    """Find the pattern that is written exactly as this regex."""
    return next((pattern for pattern in PATTERNS.values() if pattern.regex == regex), None)


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}
