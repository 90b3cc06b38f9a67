"""How many near duplicates are found, measured: copies of known likeness are made of real texts and looked for.

A copy has words replaced until its Jaccard index with the original is as near above a wanted one as whole words allow.
Originals and copies go the whole way, from keys to verdicts. Theory says how many should be found: each pair with
probability 1 - (1 - s^rows)^bands, s its own index, where s reaches ``min_jaccard``, and none of the others.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import regex
from numpy.typing import NDArray

from textmill import _core
from textmill.text.dedup.find import find_duplicates
from textmill.text.dedup.keys import UnitKeys
from textmill.text.dedup.settings import DedupSettings, MinHashSettings
from textmill.text.dedup.verdicts import read_verdict
from textmill.text.text_batch import TextBatch

JACCARDS = (0.75, 0.8, 0.85, 0.9, 0.95)
# Copies of shorter texts cannot be made as like as is wanted.
_MIN_WORDS = 50
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]|[\p{L}\p{M}\p{N}]+")


@dataclass(frozen=True, slots=True)
class RecallPoint:
    """What became of planted pairs of about the same likeness.

    Attributes:
        jaccard: the mean index of the pairs.
        planted: pairs.
        found: pairs of which one document was dropped.
        expected: pairs that theory says are found, on average.
        low, high: the band in which ``found`` lies with a probability of 95 % and more.
    """

    jaccard: float
    planted: int
    found: int
    expected: float
    low: int
    high: int

    @property
    def is_as_expected(self) -> bool:
        """Whether as many were found as theory says."""
        return self.low <= self.found <= self.high


def measure_recall(
    texts: TextBatch,
    settings: MinHashSettings,
    *,
    folder: Path,
    jaccards: Sequence[float] = JACCARDS,
    seed: int = 1,
    memory_limit: int = 1 << 28,
    threads: int = 1,
) -> list[RecallPoint]:
    """Plant a copy of each text for each of ``jaccards``, and count those that are found.

    Args:
        texts: a sample; near duplicates in it, and texts of fewer than 50 words, are left out.
        settings: as in the run that is to be judged.
        folder: for files in between, which are gone afterwards.
        jaccards: how like the copies are.
        seed: chooses the words that are replaced.
        memory_limit, threads: as ``find_duplicates`` takes them.

    Returns:
        A point for each of ``jaccards``; none where no text is left.
    """
    search = _Search(settings, folder, memory_limit, threads)
    originals = texts.select(search.stays([texts]))
    whole = [text.decode(errors="replace") for text in originals]
    chosen = np.array([len(_WORD.findall(text)) >= max(_MIN_WORDS, 2 * settings.ngram) for text in whole], np.bool_)
    originals = originals.select(chosen)
    if len(originals) == 0:
        return []
    whole = [text for text, is_chosen in zip(whole, chosen, strict=True) if is_chosen]
    rng = random.Random(seed)
    points = []
    for wanted in jaccards:
        copies = TextBatch.of([edited_copy(text, wanted, settings.ngram, rng) for text in whole])
        stays = search.stays([originals, copies])
        is_found = ~(stays[: len(whole)] & stays[len(whole) :])
        points.append(_point(search.jaccards(originals, copies), is_found, settings))
    return points


@dataclass(frozen=True, slots=True)
class _Search:
    """The way that documents go."""

    settings: MinHashSettings
    folder: Path
    memory_limit: int
    threads: int

    def stays(self, units: Sequence[TextBatch]) -> NDArray[np.bool_]:
        """Tell which documents of units, one after the other, are not dropped."""
        keys = [UnitKeys.of(unit, np.zeros(len(unit), np.float32), self.settings) for unit in units]
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".recall-") as name:
            find_duplicates(
                keys,
                DedupSettings(minhash=self.settings),
                lambda unit, numbers: units[unit].at(numbers),
                folder=Path(name),
                memory_limit=self.memory_limit,
                threads=self.threads,
            )
            return np.concatenate([read_verdict(Path(name), number).kept for number in range(len(units))])

    def jaccards(self, originals: TextBatch, copies: TextBatch) -> NDArray[np.float64]:
        """Compute the index of each original and its copy."""
        both = TextBatch.joined([originals, copies])
        sets, offsets = _core.shingle_sets(both.data, both.offsets, self.settings.ngram, self.threads)
        numbers = np.arange(len(originals))
        return _core.pair_jaccards(sets, offsets, np.column_stack((numbers, numbers + len(originals))), self.threads)


def edited_copy(text: str, jaccard: float, ngram: int, rng: random.Random) -> str:
    """Replace words of a text by new ones until another one would make it less like than ``jaccard``."""
    spans = [match.span() for match in _WORD.finditer(text)]
    num_shingles = len(spans) - ngram + 1
    changed: set[int] = set()
    replaced: dict[int, str] = {}
    while True:
        place = int(rng.random() * len(spans))
        changed |= set(range(max(0, place - ngram + 1), min(place, num_shingles - 1) + 1))
        if num_shingles - len(changed) < jaccard * (num_shingles + len(changed)):
            break
        replaced[place] = f"{int(rng.random() * 2**53):x}"
    pieces, end = [], 0
    for place in sorted(replaced):
        begin, behind = spans[place]
        pieces += [text[end:begin], replaced[place]]
        end = behind
    return "".join([*pieces, text[end:]])


def _point(jaccards: NDArray[np.float64], is_found: NDArray[np.bool_], settings: MinHashSettings) -> RecallPoint:
    chances = np.where(jaccards >= settings.min_jaccard, 1 - (1 - jaccards**settings.rows) ** settings.bands, 0.0)
    low, high = _band(chances)
    return RecallPoint(float(jaccards.mean()), len(jaccards), int(is_found.sum()), float(chances.sum()), low, high)


def _band(chances: NDArray[np.float64]) -> tuple[int, int]:
    """Find the middle 95 % of how many of independent events happen, each with a chance of its own."""
    of_count = np.zeros(len(chances) + 1)
    of_count[0] = 1.0
    for number, chance in enumerate(chances.tolist(), 1):
        of_count[1 : number + 1] = of_count[1 : number + 1] * (1 - chance) + of_count[:number] * chance
        of_count[0] *= 1 - chance
    up_to = np.cumsum(of_count)
    return int(np.searchsorted(up_to, 0.025)), int(np.searchsorted(up_to, 0.975))
