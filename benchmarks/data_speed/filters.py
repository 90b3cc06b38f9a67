"""How fast filters judge texts, and how many decisions change where spaCy splits the words.

    python -m data_speed.filters FILE.jsonl [--megabytes 100] [--spacy PYTHON]     (in benchmarks/)

FILE.jsonl has records with a field ``text``. ``--spacy`` is the Python of an environment that has spaCy, which splits
the words of the first 2,000 texts for datatrove's filters (here); they are compared with ours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from textmill.text.cleaning import Cleaner
from textmill.text.language import LanguageFilter
from textmill.text.rules import PRESETS, RuleSet
from textmill.text.rules.presets import FINEWEB_DATATROVE, GOPHER_QUALITY, GOPHER_REPETITION
from textmill.text.text_batch import TextBatch
from textmill.text.words import count_words

ROUNDS = 3
NUM_COMPARED = 2000
NUM_LANGUAGE = 2000
# What datatrove's English tokenizer does: words of a blank pipeline, without those that are white space.
_SPLIT = """
import json, sys, spacy
nlp = spacy.blank("en")
nlp.max_length = 1 << 30
for line in sys.stdin:
    words = (token.text.strip() for token in nlp.make_doc(json.loads(line)))
    print(json.dumps([word for word in words if word]))
"""


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--spacy", type=Path)
    arguments = parser.parse_args()
    texts = read_texts(arguments.file, round(arguments.megabytes * 1e6))
    figures: dict[str, object] = {"num_texts": len(texts), "mb_per_s": speeds(texts)}
    if arguments.spacy is not None:
        figures["decided_otherwise_with_spacy"] = changed_decisions(texts[:NUM_COMPARED], arguments.spacy)
    print(json.dumps(figures, indent=2))


def read_texts(path: Path, max_bytes: int) -> list[str]:
    """Read texts of a file until there are so many bytes."""
    texts = []
    num_bytes = 0
    with path.open(encoding="utf-8") as file:
        for line in file:
            texts.append(json.loads(line)["text"])
            num_bytes += len(texts[-1].encode())
            if num_bytes >= max_bytes:
                break
    return texts


def speeds(texts: list[str]) -> dict[str, float]:
    """Measure MB/s of text on one core, the best of some rounds."""
    batch = TextBatch.of(texts)
    some = TextBatch.of(texts[:NUM_LANGUAGE])
    cleaner, language = Cleaner(), LanguageFilter()
    figures = {
        "words": _speed(batch, lambda: count_words(batch)),
        "mask": _speed(batch, lambda: cleaner.apply(batch)),
        "language": _speed(some, lambda: language.apply(some)),
    }
    for name in PRESETS:
        rules = RuleSet.named(name)
        figures[name] = _speed(batch, lambda rules=rules: rules.apply(batch))
    return figures


def _speed(batch: TextBatch, run: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return round(batch.num_bytes / 1e6 / min(times), 1)


def changed_decisions(texts: list[str], python: Path) -> dict[str, float]:
    """Tell the share of texts that datatrove decides otherwise, its words being spaCy's."""
    words = spacy_words(texts, python)
    shares = {}
    for name, rules, module, filter_name in (
        ("gopher quality", GOPHER_QUALITY, "gopher_quality_filter", "GopherQualityFilter"),
        ("gopher repetition", GOPHER_REPETITION, "gopher_repetition_filter", "GopherRepetitionFilter"),
        ("fineweb", FINEWEB_DATATROVE, "fineweb_quality_filter", "FineWebQualityFilter"),
    ):
        ours = RuleSet(name, [rules]).apply(TextBatch.of(texts)).kept
        theirs = _datatrove_decisions(texts, words, module, filter_name)
        shares[name] = round(sum(a != b for a, b in zip(ours, theirs, strict=True)) / len(texts), 4)
    return shares


def spacy_words(texts: list[str], python: Path) -> dict[str, list[str]]:
    """Split texts by the spaCy of another environment."""
    lines = "".join(json.dumps(text) + "\n" for text in texts)
    done = subprocess.run([python, "-c", _SPLIT], input=lines, capture_output=True, text=True, check=True)
    return dict(zip(texts, map(json.loads, done.stdout.splitlines()), strict=True))


def _datatrove_decisions(texts: list[str], words: dict[str, list[str]], module: str, filter_name: str) -> list[bool]:
    from datatrove.data import Document
    from datatrove.pipeline import filters

    place = f"datatrove.pipeline.filters.{module}.split_into_words"
    with mock.patch(place, lambda text, language: words[text]):
        judge = getattr(filters, filter_name)()
        return [judge.filter(Document(text, str(number))) is True for number, text in enumerate(texts)]


if __name__ == "__main__":
    main()
