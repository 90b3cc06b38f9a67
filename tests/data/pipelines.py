"""A small corpus with everything in it, pipelines over it, and hashes of what comes out."""

import gzip
import hashlib
import json
import random

from textmill.base.config import from_table
from textmill.data.pipeline import Pipeline

WORDS = "the of and to in a is that it was for on are with as his they be at one have this from or had by".split()


def document(rng, num_words):
    sentences = (" ".join(rng.choices(WORDS, k=rng.randint(4, 12))) for _ in range(max(1, num_words // 8)))
    return ". ".join(sentence.capitalize() for sentence in sentences) + ".\n"


def write_corpus(folder, num_documents=400, seed=1):
    """Lines, packed lines and files, with copies within and across."""
    rng = random.Random(seed)
    texts = [document(rng, rng.randint(20, 200)) for _ in range(num_documents)]
    texts += rng.sample(texts, num_documents // 10)
    lines = [json.dumps({"text": text, "n": n}) + "\n" for n, text in enumerate(texts)]
    (folder / "raw").mkdir(parents=True)
    (folder / "raw" / "a.jsonl").write_text("".join(lines[: num_documents // 2]))
    with gzip.open(folder / "raw" / "b.jsonl.gz", "wt") as file:
        file.write("".join(lines[num_documents // 2 :]))
    (folder / "notes").mkdir()
    for n in range(20):
        (folder / "notes" / f"{n:02d}.txt").write_text(texts[n] if n % 5 == 0 else document(rng, 60))
    return folder


def pipeline_of(folder, out, **tables):
    table = {
        "output": {"dir": str(out)},
        "sources": {"web": {"path": str(folder / "raw")}, "notes": {"path": str(folder / "notes")}},
        "tokenizer": {"vocab_size": 400},
        "run": {"unit_mb": 1},
    }
    return from_table(Pipeline, table | tables)


def hashes(*folders):
    """A hash for every file below folders, by its path there."""
    return {
        f"{folder.name}/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("report.json", "tokenizer.report.json")
    }
