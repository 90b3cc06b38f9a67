"""How fast raw jsonl becomes shards, read, filtered, without exact duplicates and tokenized, beside datatrove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_speed.corpus import documents, text_files, train_tokenizer, work_folder, write
from data_speed.environments import PYTHON, environment_python
from data_speed.job import PROCESSES, Job
from data_speed.turns import commands_in_turn

WAYS = Path(__file__).parent / "prepare_ways"


def measure(job: Job) -> dict[str, Any]:
    """Seconds, documents and tokens of each round, in 2 processes each."""
    texts = documents(job.folder, job.sizes.texts)
    with work_folder() as folder:
        corpus, tokenizer = folder / "corpus.jsonl", folder / "tokenizer.json"
        write(corpus, texts)
        train_tokenizer(corpus, tokenizer)
        arguments = [corpus, tokenizer, PROCESSES]
        ways = {
            "textmill": [*PYTHON, WAYS / "textmill_way.py", *arguments, "full"],
            "datatrove": [environment_python("datatrove"), "-I", WAYS / "datatrove_way.py", *arguments],
        }
        return {
            "files": len(text_files(job.folder)),
            "documents": len(texts),
            "bytes": sum(len(text.encode()) for text in texts),
            "runs": commands_in_turn(ways, job.rounds),
        }
