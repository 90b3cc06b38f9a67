"""A corpus with near duplicates in known places: real text cut into documents, and edited copies of some."""

from __future__ import annotations

import json
import random
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_speed.corpus import text_files
from textmill.text.dedup import DedupSettings, MinHashSettings, UnitKeys, find_duplicates, read_verdict
from textmill.text.dedup.recall import edited_copy
from textmill.text.text_batch import TextBatch

JACCARDS = (0.75, 0.8, 0.85, 0.9, 0.95)
DOCUMENT_WORDS = 400
NGRAM = 5


def write_corpus(folder: Path, num_documents: int, corpus: Path, pairs: Path) -> None:
    """Write documents, a tenth of them copies of others; and the pairs, each with the index that it was made for."""
    texts = _unlike(list(_documents(folder, num_documents)))
    rng = random.Random(1)
    num_copies = len(texts) // 9
    chosen = [len(texts) * i // num_copies for i in range(num_copies)]
    planted = [[a, len(texts) + i, JACCARDS[i % len(JACCARDS)]] for i, a in enumerate(chosen)]
    texts += [edited_copy(texts[int(a)], jaccard, NGRAM, rng) for a, _, jaccard in planted]
    places = list(range(len(texts)))
    rng.shuffle(places)
    ordered = [""] * len(texts)
    for text, place in zip(texts, places, strict=True):
        ordered[place] = text
    corpus.write_text("".join(json.dumps({"id": str(i), "text": text}) + "\n" for i, text in enumerate(ordered)))
    pairs.write_text(json.dumps([[places[int(a)], places[int(b)], jaccard] for a, b, jaccard in planted]))


def _documents(folder: Path, num_documents: int) -> Iterator[str]:
    """Cut text files into documents of so many words."""
    count = 0
    for file in text_files(folder):
        words = list(re.finditer(r"\S+", file.read_text(errors="ignore")))
        for first in range(0, len(words) - DOCUMENT_WORDS, DOCUMENT_WORDS):
            if count == num_documents:
                return
            yield words[first].string[words[first].start() : words[first + DOCUMENT_WORDS].start()]
            count += 1


def _unlike(texts: list[str]) -> list[str]:
    """Leave out documents that are like others by themselves."""
    batch = TextBatch.of(texts)
    minhash = MinHashSettings(bands=30, rows=4, min_jaccard=0.3)
    keys = UnitKeys.of(batch, np.zeros(len(batch), np.float32), minhash, num_threads=2)
    with tempfile.TemporaryDirectory() as folder:
        find_duplicates(
            [keys],
            DedupSettings(minhash=minhash),
            lambda unit, numbers: batch.at(numbers),
            folder=Path(folder),
        )
        kept = read_verdict(Path(folder), 0).kept
    return [text for text, is_kept in zip(texts, kept, strict=True) if is_kept]
