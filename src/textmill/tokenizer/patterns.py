r"""The patterns that split text into pieces: as data, by name, and how a tokenizer.json writes them.

A pattern is a list of stages, and a stage is a regex: alternatives of which the first that matches wins. The first
stage splits the text, each later one every piece of the stage before it, and sees no more than that piece. What no
alternative matches is a piece too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textmill import _core
from textmill.base.errors import ConfigError, did_you_mean
from textmill.tokenizer.regexes import alternatives_of
from textmill.tokenizer.splitting import splitter_of


@dataclass(frozen=True, slots=True)
class Alternative:
    """One alternative of a regex, and a name for people."""

    name: str
    regex: str


GAP = Alternative("text that nothing matches", "")


@dataclass(frozen=True, slots=True)
class Stage:
    """A regex, as its alternatives in order."""

    alternatives: tuple[Alternative, ...]

    @property
    def regex(self) -> str:
        """The whole regex."""
        return "|".join(alternative.regex for alternative in self.alternatives)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way to split text.

    Attributes:
        name: one of ``PATTERNS``, or the regexes themselves.
        stages: what splits the text, and what splits the pieces of that, and so on.
    """

    name: str
    stages: tuple[Stage, ...]

    @property
    def regexes(self) -> tuple[str, ...]:
        """The regex of each stage."""
        return tuple(stage.regex for stage in self.stages)

    def alternative(self, number: int) -> Alternative:
        """Find an alternative by the splitter's number for it, which counts over all stages."""
        alternatives = [alternative for stage in self.stages for alternative in stage.alternatives]
        return GAP if number == _core.GAP else alternatives[number]

    def stage_of(self, number: int) -> int:
        """Find the stage of an alternative by the splitter's number for it, from 1; 0 for what nothing matches."""
        last = 0
        for place, stage in enumerate(self.stages, start=1):
            last += len(stage.alternatives)
            if number < last:
                return place
        return 0

    def splitter(self) -> _core.Splitter:
        """Compile the pattern; the same splitter each time. Raises ``ConfigError``."""
        return splitter_of(self.regexes)


def _stage(*alternatives: tuple[str, str]) -> Stage:
    return Stage(tuple(Alternative(name, part) for name, regex in alternatives for part in alternatives_of(regex)))


_CONTRACTION = ("contraction", "(?i:'s|'t|'re|'ve|'m|'ll|'d)")
_LETTERS = ("letters", r"[^\r\n\p{L}\p{N}]?\p{L}+")
_OTHER = ("neither letters, numbers nor whitespace", r" ?[^\s\p{L}\p{N}]+[\r\n]*")
_NEWLINES = ("whitespace up to a newline", r"\s*[\r\n]+")
_SPACES = (("whitespace but its last character", r"\s+(?!\S)"), ("whitespace", r"\s+"))
_UPPER, _LOWER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_LOWER_END, _UPPER_END = (
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]*[{_LOWER}]+",
    rf"[^\r\n\p{{L}}\p{{N}}]?[{_UPPER}]+[{_LOWER}]*",
)
_OTHER_AND_SLASHES = ("neither letters, numbers nor whitespace", r" ?[^\s\p{L}\p{N}]+[\r\n/]*")

_GPT2_STAGE = _stage(
    ("contraction", "'s|'t|'re|'ve|'m|'ll|'d"),
    ("letters", r" ?\p{L}+"),
    ("numbers", r" ?\p{N}+"),
    ("neither letters, numbers nor whitespace", r" ?[^\s\p{L}\p{N}]+"),
    *_SPACES,
)


def _cl100k_stage(*numbers: tuple[str, str]) -> Stage:
    return _stage(_CONTRACTION, _LETTERS, *numbers, _OTHER, _NEWLINES, *_SPACES)


_DEEPSEEK_STAGES = (
    _stage(("one to three numbers", r"\p{N}{1,3}")),
    _stage(("Chinese and Japanese", "[一-龥぀-ゟ゠-ヿ]+")),
    _stage(
        ("ASCII letters after punctuation", r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""),
        ("letters and marks", r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"),
        ("punctuation and symbols", r" ?[\p{P}\p{S}]+[\r\n]*"),
        _NEWLINES,
        *_SPACES,
    ),
)

GPT2 = Pattern("gpt2", (_GPT2_STAGE,))
# The original form, which Llama 3 and Hugging Face write. tiktoken's present form splits "a\n  " at another place.
CL100K = Pattern("cl100k", (_cl100k_stage(("one to three numbers", r"\p{N}{1,3}")),))
QWEN2 = Pattern("qwen2", (_cl100k_stage(("one number", r"\p{N}")),))
O200K = Pattern(
    "o200k",
    (
        _stage(
            ("letters that end in lower case", f"{_LOWER_END}{_CONTRACTION[1]}?"),
            ("letters that begin in upper case", f"{_UPPER_END}{_CONTRACTION[1]}?"),
            ("one to three numbers", r"\p{N}{1,3}"),
            _OTHER_AND_SLASHES,
            _NEWLINES,
            *_SPACES,
        ),
    ),
)
TEKKEN = Pattern(
    "tekken",
    (
        _stage(
            ("letters that end in lower case", _LOWER_END),
            ("letters that begin in upper case", _UPPER_END),
            ("one number", r"\p{N}"),
            _OTHER_AND_SLASHES,
            _NEWLINES,
            *_SPACES,
        ),
    ),
)
NANOCHAT = Pattern(
    "nanochat",
    (
        _stage(
            ("contraction", "'(?i:[sdmt]|ll|ve|re)"),
            ("letters", r"[^\r\n\p{L}\p{N}]?+\p{L}+"),
            ("one or two numbers", r"\p{N}{1,2}"),
            ("neither letters, numbers nor whitespace", r" ?[^\s\p{L}\p{N}]++[\r\n]*"),
            ("whitespace up to a newline", r"\s*[\r\n]"),
            *_SPACES,
        ),
    ),
)

DEFAULT_PATTERN = "cl100k"
PATTERNS = {
    pattern.name: pattern
    for pattern in (
        GPT2,
        CL100K,
        O200K,
        Pattern("llama3", CL100K.stages),
        QWEN2,
        Pattern("qwen3", QWEN2.stages),
        Pattern("smollm", (_stage(("one number", r"\p{N}")), _GPT2_STAGE)),
        Pattern("deepseek-v3", _DEEPSEEK_STAGES),
        TEKKEN,
        NANOCHAT,
        Pattern("char", (_stage(("one character", r"[\s\S]")),)),
    )
}

# Other ways to write a pattern that split every text alike, by the name of the pattern.
_EQUAL_SPELLINGS = {
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s": "gpt2",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt2",
}


def pattern_named(name: str) -> Pattern:
    r"""Find a pattern by its name, or make one of a regex such as ``\w+|\s+``.

    Raises:
        ConfigError: a word that is no known pattern, with the nearest one, or a regex that does not compile.
    """
    if name in PATTERNS:
        return PATTERNS[name]
    if isinstance(name, str) and set(name) & set(r"\[](){}|*+?.^$"):
        return pattern_from([name])
    raise ConfigError(
        f'unknown pattern "{name}"{did_you_mean(str(name), PATTERNS)} Known: {", ".join(PATTERNS)}, and any regex'
    )


def pattern_from(regexes: Sequence[str]) -> Pattern:
    """Make a pattern of the regex of each stage: a named one where it is written so, else one named by its regexes.

    Of names with the same regexes the older is given: cl100k for llama3, and qwen2 for qwen3.

    Raises:
        ConfigError: a regex does not compile, or cannot be reproduced exactly.
    """
    wanted = tuple(regexes)
    if len(wanted) == 1 and wanted[0] in _EQUAL_SPELLINGS:
        return PATTERNS[_EQUAL_SPELLINGS[wanted[0]]]
    # DeepSeek's file holds the newlines of its classes as they are.
    spelled = tuple(regex.replace("\r", r"\r").replace("\n", r"\n") for regex in wanted)
    for pattern in PATTERNS.values():
        if pattern.regexes == spelled:
            return pattern
    splitter_of(wanted)
    stages = tuple(_stage(*((part, part) for part in alternatives_of(regex))) for regex in wanted)
    return Pattern(" then ".join(wanted), stages)


def to_pre_tokenizer(pattern: Pattern) -> dict[str, Any]:
    """Write a pattern as the ``pre_tokenizer`` of a tokenizer.json that splits alike in Hugging Face's tokenizers."""
    from textmill.tokenizer.oniguruma import for_oniguruma  # only saving needs it

    if pattern.stages == GPT2.stages:
        return _byte_level(use_regex=True)
    ends_in_gpt2 = pattern.stages[-1] == _GPT2_STAGE
    splits = [
        {"type": "Split", "pattern": {"Regex": for_oniguruma(stage.regex)}, "behavior": "Isolated", "invert": False}
        for stage in (pattern.stages[:-1] if ends_in_gpt2 else pattern.stages)
    ]
    return {"type": "Sequence", "pretokenizers": [*splits, _byte_level(use_regex=ends_in_gpt2)]}


def _byte_level(*, use_regex: bool) -> dict[str, Any]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}
