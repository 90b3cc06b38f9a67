"""How fast texts are judged, on one core: each preset of rules, cleaning, languages, decontamination, quality."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from data_speed.corpus import cut, documents
from data_speed.job import Job
from data_speed.turns import in_turn
from textmill.text.cleaning import Cleaner
from textmill.text.decontamination import Decontaminator, EvalItem
from textmill.text.decontamination.profiles import PROFILES
from textmill.text.language import LanguageFilter
from textmill.text.quality import train_quality_model
from textmill.text.rules import PRESETS, RuleSet
from textmill.text.stdlib import read_stdlib
from textmill.text.text_batch import TextBatch
from textmill.text.words import count_words

NUM_ITEMS = 1_000
_MIN_CHARACTERS = 60
_SENTENCE = re.compile(r"[A-Z][^.?!]+[.?!]")
Work = tuple[TextBatch, Callable[[TextBatch], object]]


def measure(job: Job) -> dict[str, Any]:
    """MB/s of text, by group of filters and filter, in the order of the rounds."""
    texts = documents(job.folder, job.sizes.texts)
    batch, some = TextBatch.of(texts), TextBatch.of(texts[: job.sizes.slow_texts])
    begin = len(texts) * 9 // 10
    items = _items(texts[begin:])
    groups = {
        "rules": {name: (batch, RuleSet.named(name).apply) for name in PRESETS},
        "cleaning": _cleaning(batch, some),
        "decontamination": _decontamination(TextBatch.of(texts[:begin]), items),
        "quality": _quality(texts),
    }
    return {
        "documents": len(texts),
        "bytes": batch.num_bytes,
        "slow_documents": len(some),
        "items": len(items),
        "mb_per_s": {group: in_turn(_timed(works), job.rounds) for group, works in groups.items()},
    }


def _timed(works: dict[str, Work]) -> dict[str, Callable[[], float]]:
    return {name: lambda batch=batch, run=run: _mb_per_s(batch, run) for name, (batch, run) in works.items()}


def _mb_per_s(batch: TextBatch, run: Callable[[TextBatch], object]) -> float:
    begin = time.perf_counter()
    run(batch)
    return batch.num_bytes / 1e6 / (time.perf_counter() - begin)


def _cleaning(batch: TextBatch, some: TextBatch) -> dict[str, Work]:
    return {
        "words are counted": (batch, count_words),
        "addresses are masked": (batch, Cleaner().apply),
        "Unicode is repaired (ftfy)": (some, Cleaner(unicode=True, mask=()).apply),
        "languages are told (py3langid)": (some, LanguageFilter().apply),
    }


def _items(texts: list[str]) -> list[EvalItem]:
    """Make questions and answers of neighbouring sentences."""
    sentences = [sentence for text in texts for sentence in _SENTENCE.findall(text) if len(sentence) > _MIN_CHARACTERS]
    pairs = enumerate(pairwise(sentences[: NUM_ITEMS + 1]))
    return [EvalItem(f"items:{number}", "items", question, answer) for number, (question, answer) in pairs]


def _decontamination(batch: TextBatch, items: list[EvalItem]) -> dict[str, Work]:
    return {
        name: (batch, partial(Decontaminator(items, profile).apply, threads=1)) for name, profile in PROFILES.items()
    }


def _quality(texts: list[str]) -> dict[str, Work]:
    """Learn to tell these texts from the standard library's modules, as much of one as of the other."""
    code = [part for module in read_stdlib("stdlib:code", "") for part in cut(module.text)]
    num_texts = min(len(texts), len(code))
    good, bad = TextBatch.of(texts[:num_texts]), TextBatch.of(code[:num_texts])
    model, _ = train_quality_model(good, bad, threads=1)
    return {
        "training, five epochs": (TextBatch.joined([good, bad]), lambda _: train_quality_model(good, bad, threads=1)),
        "scoring": (good, partial(model.scores, threads=1)),
    }
