"""How fast near duplicates are found, and how many of them, beside other projects.

Pairs of known likeness are planted. Each has an index of its own (of sets of word 5-grams, as textmill's words are),
which says how likely it is to be found: 1 - (1 - s^8)^14.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from data_speed.corpus import work_folder
from data_speed.dedup_corpus import NGRAM, write_corpus
from data_speed.environments import PYTHON, environment_python
from data_speed.job import THREADS, Job
from data_speed.turns import commands_in_turn
from textmill import _core
from textmill.text.text_batch import TextBatch

WAYS = Path(__file__).parent / "dedup_ways"


def measure(job: Job) -> dict[str, Any]:
    """Seconds of each round, which pairs were found, and the pairs' indices: that wanted, and that of the texts."""
    with work_folder() as folder:
        corpus, pairs = folder / "corpus.jsonl", folder / "pairs.json"
        write_corpus(job.folder, job.sizes.near_documents, corpus, pairs)
        arguments = [corpus, pairs, THREADS]
        library = [environment_python("libs"), "-I", WAYS / "library_ways.py"]
        ways = {
            "textmill": [*PYTHON, WAYS / "textmill_way.py", *arguments],
            "rensa": [*library, "rensa", *arguments],
            "datasketch": [*library, "datasketch", *arguments],
            "datatrove": [environment_python("datatrove"), "-I", WAYS / "datatrove_way.py", *arguments],
        }
        runs = commands_in_turn(ways, job.rounds)
        texts = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
        planted = json.loads(pairs.read_text())
    return {
        "documents": len(texts),
        "bytes": sum(len(text.encode()) for text in texts),
        "wanted": [wanted for _, _, wanted in planted],
        "jaccards": _jaccards(texts, [pair[:2] for pair in planted]),
        "runs": runs,
    }


def _jaccards(texts: list[str], pairs: list[list[int]]) -> list[float]:
    batch = TextBatch.of(texts)
    sets, offsets = _core.shingle_sets(batch.data, batch.offsets, NGRAM)
    return _core.pair_jaccards(sets, offsets, np.array(pairs, np.int64)).tolist()
