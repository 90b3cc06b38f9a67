"""Whether memory grows with the input: filters, exact and near duplicates, tokens, on an input and on four of it."""

from __future__ import annotations

from typing import Any

from data_speed.corpus import documents, train_tokenizer, work_folder, write
from data_speed.environments import PYTHON
from data_speed.job import PROCESSES, Job
from data_speed.prepare import WAYS
from data_speed.turns import run

ROUNDS = 1  # each takes minutes, and peaks of two rounds differ little


def measure(job: Job) -> dict[str, Any]:
    """Peak memory of the largest process, and seconds, by input size."""
    texts = documents(job.folder, job.sizes.texts)
    runs = []
    with work_folder() as folder:
        once, tokenizer = folder / "once.jsonl", folder / "tokenizer.json"
        write(once, texts)
        train_tokenizer(once, tokenizer)
        for num_bytes in job.sizes.memory_bytes:
            corpus = folder / "corpus.jsonl"
            write(corpus, texts, num_bytes)
            figures = run([*PYTHON, WAYS / "textmill_way.py", corpus, tokenizer, PROCESSES, "memory"])
            runs.append({"bytes": num_bytes, "peak_bytes": figures["peak_kb"] * 1024, "time_s": figures["time_s"]})
    return {"runs": runs}
