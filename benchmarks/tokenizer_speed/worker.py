"""One job in this process, which is fresh: a job as JSON in the argument, what was measured as JSON on stdout."""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tokenizer_speed import documents, memory
from tokenizer_speed.corpora import corpus
from tokenizer_speed.engines import ENGINES, Engine
from tokenizer_speed.trainers import TRAINERS


def encode(job: dict[str, Any]) -> dict[str, Any]:
    """Time passes over documents; the first is cold. Ids are hashed after the clock has stopped."""
    engine = ENGINES[job["engine"]]
    texts = documents.read(tuple(job["corpora"]), job["num_bytes"], job["document_bytes"])
    inputs = documents.prepared(texts, engine.takes)
    tokenizer = engine.load(_library(engine))
    _settle()
    memory.reset_peak()
    before = memory.resident()
    seconds = []
    result = None
    for _ in range(job["passes"]):
        result = None
        begin = time.perf_counter()
        result = engine.batch(tokenizer, inputs, job["threads"])
        seconds.append(time.perf_counter() - begin)
    facts = {"bytes": sum(map(len, texts)), "documents": len(texts), "seconds": seconds}
    facts |= {"peak": memory.peak(), "added": memory.peak() - before}
    return facts | (_hashed(engine, result) if job["passes"] else {})


def single(job: dict[str, Any]) -> dict[str, Any]:
    """Time calls on short strings: nanoseconds a call, the best and the median round."""
    engine = ENGINES[job["engine"]]
    strings = documents.short_strings("english", 1000, 20)
    strings = [strings[0]] * len(strings) if job["repeated"] else strings
    tokenizer = engine.load(_library(engine))
    call = engine.one(tokenizer)
    ids = [list(map(int, call(text))) for text in strings]
    _settle()
    rounds = []
    for _ in range(job["rounds"]):
        begin = time.perf_counter_ns()
        for text in strings:
            call(text)
        rounds.append((time.perf_counter_ns() - begin) / len(strings))
    digest = hashlib.sha256(json.dumps(ids).encode()).hexdigest()
    return {"seconds": [min(rounds) * 1e-9, float(np.median(rounds)) * 1e-9], "ids": digest}


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Time loading from the rank file, to the first ids of a word, and the memory that it takes."""
    engine = ENGINES[job["engine"]]
    library = _library(engine)
    load_ranks = engine.from_ranks or engine.load
    _settle()
    memory.reset_peak()
    before = memory.resident()
    begin = time.perf_counter()
    tokenizer = load_ranks(library)
    loaded = time.perf_counter()
    ids = list(map(int, engine.one(tokenizer)("hello")))
    encoded = time.perf_counter()
    facts = {"seconds": [loaded - begin, encoded - begin], "peak": memory.peak(), "added": memory.peak() - before}
    return facts | {"held": memory.resident() - before, "ids": json.dumps(ids)}


def train(job: dict[str, Any]) -> dict[str, Any]:
    """Time training on a file, and the memory that it takes."""
    trainer = TRAINERS[job["engine"]]
    library = importlib.import_module(trainer.module)
    path = _beginning(corpus(job["corpora"][0]), job["num_bytes"])
    _settle()
    memory.reset_peak()
    before = memory.resident()
    begin = time.perf_counter()
    result = trainer.train(library, path, job["vocab_size"], job["threads"])
    seconds = time.perf_counter() - begin
    facts = {"bytes": path.stat().st_size, "seconds": [seconds], "peak": memory.peak(), "added": memory.peak() - before}
    merges = trainer.merges(result)[: job["vocab_size"] - 256]  # gigabpe makes more: it counts only bytes that occur
    digest = hashlib.sha256(b"\0".join(merges)).hexdigest()
    return facts | {"ids": digest, "num_tokens": len(merges)}


def _hashed(engine: Engine, result: Any) -> dict[str, Any]:
    ids, lengths = engine.flat(result)
    digest = hashlib.sha256(ids.astype("<u4").tobytes())
    digest.update(lengths.astype("<i8").tobytes())
    return {"ids": digest.hexdigest(), "num_tokens": len(ids)}


def _library(engine: Engine) -> Any:
    library, *_ = [importlib.import_module(name) for name in engine.modules]
    return library


def _beginning(path: Path, num_bytes: int) -> Path:
    """Return a file of the first bytes of another, up to a line end."""
    if path.stat().st_size <= num_bytes:
        return path
    part = path.with_name(f"{path.stem}-{num_bytes}.txt")
    if not part.exists():
        with path.open("rb") as file:
            text = file.read(num_bytes)
        part.write_bytes(text[: text.rfind(b"\n") + 1])
    return part


def _settle() -> None:
    gc.collect()
    gc.freeze()


JOBS = {"encode": encode, "single": single, "load": load, "train": train}

if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    print(json.dumps(JOBS[given["kind"]](given)))
