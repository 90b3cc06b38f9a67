"""Decontamination in plain Python: what the native scan is tested against, and a page that says what it does.

words     as matching sees them: ``reference_words.folded_words``
n-grams   of the document that an item has, too: each says where the item would stand in the document
stretch   that place, with half of the item's length on either side
measure   how much of the item the stretch has
"""

from __future__ import annotations

import difflib
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from textmill.text.decontamination.profiles import Profile
from textmill.text.reference_words import folded_words

_SHORTER_DROPPED = 5  # characters of a matching block


class Match(NamedTuple):
    """An entry found in a document: words [begin, end)."""

    entry: int
    begin: int
    end: int
    ratio: float


def find(document: str, entries: Sequence[str], profile: Profile) -> list[Match]:
    """Find entries (texts of items) in a document."""
    words = [word.folded for word in folded_words(document)]
    of_entries = [[word.folded for word in folded_words(text)] for text in entries]
    num_entries = Counter(gram for entry in of_entries for gram in set(_ngrams(entry, profile.ngram)))
    found = []
    for number, entry in enumerate(of_entries):
        if len(entry) < profile.min_words:
            continue
        measure = profile.measure if len(entry) >= profile.ngram else "whole"
        grams = _ngrams(entry, profile.ngram if len(entry) >= profile.ngram else profile.min_words)
        anchors = set(grams)
        if measure == "whole":
            grams = grams[:1]
        elif measure == "containment":
            rarest = sorted(anchors, key=lambda gram: (num_entries[gram], grams.index(gram)))
            anchors = set(rarest[: len(rarest) + 1 - math.ceil(profile.min_ratio * len(rarest) - 1e-9)])
        next_start = -math.inf
        for hit in _hits(words, grams, anchors):
            if hit[0] < next_start:
                continue
            match = _compare(words, entry, profile, hit)
            next_start = hit[0] + 1 + (0 if measure in ("ngram", "whole") else len(entry) // 2)
            if match:
                found.append(Match(number, *match))
                next_start = max(next_start, match[1] - len(entry) // 2)
    return found


def _ngrams(words: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]


def _hits(words: list[str], grams: list[tuple[str, ...]], anchors: set[tuple[str, ...]]) -> list[tuple[int, int, int]]:
    """Say where an entry would stand, by shared n-grams: (start, which may be negative, first word, end)."""
    n = len(grams[0])
    places = defaultdict(list)
    for at, gram in enumerate(grams):
        if gram in anchors:
            places[gram].append(at)
    hits: dict[int, tuple[int, int]] = {}
    for at, gram in enumerate(_ngrams(words, n)):
        for place in places.get(gram, ()):
            begin, _ = hits.get(at - place, (at, at))
            hits[at - place] = (begin, at + n)
    return [(start, begin, end) for start, (begin, end) in sorted(hits.items())]


def _compare(
    words: list[str], entry: list[str], profile: Profile, hit: tuple[int, int, int]
) -> tuple[int, int, float] | None:
    start, size = hit[0], len(entry)
    measure = profile.measure if size >= profile.ngram else "whole"
    if measure == "ngram":
        return hit[1], hit[2], (hit[2] - hit[1]) / size
    if measure == "whole":
        return (start, start + size, 1.0) if start >= 0 and words[start : start + size] == entry else None
    first = max(0, start - size // 2)
    stretch = words[first : start + size + size // 2]
    if measure == "subsequence":
        length, begin, end = _subsequence(entry, stretch)
        ratio = length / size
    elif measure == "containment":
        wanted = set(_ngrams(entry, profile.ngram))
        there = [at for at, gram in enumerate(_ngrams(stretch, profile.ngram)) if gram in wanted]
        ratio = len(wanted & set(_ngrams(stretch, profile.ngram))) / len(wanted)
        begin, end = there[0], there[-1] + profile.ngram
    else:
        item, text = " ".join(entry), " ".join(stretch)
        blocks = difflib.SequenceMatcher(None, text, item, autojunk=False).get_matching_blocks()
        blocks = [block for block in blocks if block.size > _SHORTER_DROPPED]
        ratio = sum(block.size for block in blocks) / len(item)
        if ratio <= profile.min_ratio:
            return None
        begin = text.count(" ", 0, blocks[0].a + 1)
        end = text.count(" ", 0, blocks[-1].a + blocks[-1].size - 1) + 1
    return (first + begin, first + end, ratio) if ratio >= profile.min_ratio else None


def _subsequence(entry: list[str], stretch: list[str]) -> tuple[int, int, int]:
    """Words of the longest common subsequence, and where it lies: the first end, and the last begin before it."""

    def prefix(item: list[str], text: list[str]) -> tuple[int, int]:
        lengths, best = [0] * (len(item) + 1), (0, 0)
        for end, word in enumerate(text, start=1):
            diagonal = 0
            for place, wanted in enumerate(item, start=1):
                longer = diagonal + 1 if word == wanted else max(lengths[place], lengths[place - 1])
                diagonal, lengths[place] = lengths[place], longer
            best = (lengths[-1], end) if lengths[-1] > best[0] else best
        return best

    length, end = prefix(entry, stretch)
    _, back = prefix(entry[::-1], stretch[:end][::-1])
    return length, end - back, end
