"""Published rules in plain Python: the statistics of one text, and C4's edits of its lines; the oracle of the tests."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from textmill.text.reference_words import split_sentences, split_words
from textmill.text.rules.line_rules import LineRules
from textmill.text.rules.punctuation import END_MARKS, PUNCTUATION

_STOP_WORDS = {"the", "be", "to", "of", "and", "that", "have", "with"}
_PUNCTUATION = set(map(chr, PUNCTUATION))
_END_MARKS = tuple(map(chr, END_MARKS))
_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_POLICIES = (
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
)


def word_statistics(text: str) -> list[float]:
    """Measure what Gopher's quality rules ask for, in the order of ``statistics.COLUMNS["words"]``."""
    words = split_words(text)
    proper = [word for word in words if not _PUNCTUATION.issuperset(word)]
    lines = text.splitlines()
    return [
        len(proper),
        _ratio(sum(map(len, proper)), len(proper)),
        _ratio(text.count("#"), len(words)),
        _ratio(text.count("...") + text.count("…"), len(words)),
        _ratio(sum(line.lstrip().startswith(("•", "-")) for line in lines), len(lines)),
        _ratio(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        _ratio(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        len(_STOP_WORDS.intersection(words)),
    ]


def repetition_statistics(text: str) -> list[float]:
    """Measure what Gopher's repetition rules ask for, in the order of ``statistics.COLUMNS["repetition"]``."""
    paragraphs = re.split(r"\n{2,}", text.strip())
    lines = re.split(r"\n+", text)
    words = split_words(text)
    return [
        len(_repeated(paragraphs)) / len(paragraphs),
        _ratio(sum(map(len, _repeated(paragraphs))), len(text)),
        len(_repeated(lines)) / len(lines),
        _ratio(sum(map(len, _repeated(lines))), len(text)),
        *(_ratio(_top_ngram_chars(words, n), len(text)) for n in range(2, 5)),
        *(_ratio(_duplicate_ngram_chars(words, n), len(text)) for n in range(5, 11)),
    ]


def line_statistics(text: str) -> list[float]:
    """Measure what FineWeb's own rules ask for, in the order of ``statistics.COLUMNS["lines"]``."""
    lines = [line for line in text.split("\n") if line.strip()]
    return [
        len(lines),
        _ratio(sum(line.endswith(_END_MARKS) for line in lines), len(lines)),
        _ratio(sum(len(line) <= 30 for line in lines), len(lines)),
        _ratio(sum(map(len, _repeated(lines))), len(text) - text.count("\n")),
        _ratio(text.count("\n"), len(split_words(text))),
    ]


def edit_lines(text: str, rules: LineRules) -> tuple[str, str | None]:
    """Take lines out of a text; returns what is left, and the rule that drops the text or None."""
    kept = []
    for whole in map(str.strip, text.splitlines()):
        if rules.max_word_length and any(len(word) > rules.max_word_length for word in whole.split()):
            continue
        line = _CITATION.sub("", whole) if rules.removes_citations else whole
        num_words = len((line if rules.count_words_last else whole).split())
        if rules.end_marks and (not line.endswith(tuple(rules.end_marks)) or line.endswith("...")):
            continue
        if num_words < rules.min_words_per_line:
            continue
        lower = line.lower()
        if rules.drops_lorem_ipsum and "lorem ipsum" in lower:
            return "", "lorem_ipsum"
        if rules.removes_javascript and "javascript" in lower:
            continue
        if rules.drops_curly_brackets and "{" in line:
            return "", "curly_bracket"
        if rules.removes_policies and any(phrase in lower for phrase in _POLICIES):
            continue
        kept.append(line)
    if sum(len(split_sentences(line)) for line in kept) < rules.min_sentences:
        return "", "min_sentences"
    return "\n".join(kept).strip(), None


def has_bad_word(text: str, phrases: Sequence[str]) -> bool:
    """Tell whether a phrase stands in a text between characters that are not ``\\w``."""
    return re.search(r"(?:\W|^)(?:{})(?:\W|$)".format("|".join(map(re.escape, phrases))), text.lower()) is not None


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _repeated(parts: Sequence[str]) -> list[str]:
    seen: set[str] = set()
    return [part for part in parts if part in seen or seen.add(part)]


def _top_ngram_chars(words: Sequence[str], n: int) -> int:
    counts = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    return max((len(ngram) * count for ngram, count in counts.most_common(1)), default=0)


def _duplicate_ngram_chars(words: Sequence[str], n: int) -> int:
    seen: set[str] = set()
    num_chars = i = 0
    while i <= len(words) - n:
        ngram = "".join(words[i : i + n])
        is_repeated = ngram in seen
        seen.add(ngram)
        num_chars += len(ngram) if is_repeated else 0
        i += n if is_repeated else 1
    return num_chars
