"""How fast jsonl of 4 KB documents becomes shards, hashes included, beside encoding the same texts in memory."""

from __future__ import annotations

from typing import Any

from data_speed.corpus import documents, train_tokenizer, work_folder, write
from data_speed.environments import PYTHON
from data_speed.job import PROCESSES, THREADS, Job
from data_speed.prepare import WAYS
from data_speed.turns import commands_in_turn


def measure(job: Job) -> dict[str, Any]:
    """Seconds and tokens of each round: cold, every way in processes that have encoded nothing before."""
    texts = documents(job.folder, job.sizes.texts)
    with work_folder() as folder:
        once, corpus, tokenizer = folder / "once.jsonl", folder / "corpus.jsonl", folder / "tokenizer.json"
        write(once, texts)
        train_tokenizer(once, tokenizer)
        write(corpus, texts, job.sizes.shards_bytes)
        way = [*PYTHON, WAYS / "textmill_way.py", corpus, tokenizer]
        ways = {
            "encode_batch": [*way, THREADS, "encode"],
            "one process": [*way, 1, "plain"],
            "processes": [*way, PROCESSES, "plain"],
        }
        return {"bytes": corpus.stat().st_size, "runs": commands_in_turn(ways, job.rounds)}
