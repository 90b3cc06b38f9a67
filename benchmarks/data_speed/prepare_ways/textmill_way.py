"""textmill: the same, or less: CORPUS TOKENIZER WORKERS full|plain|memory|encode. Seconds and peak memory, as JSON.

``encode`` is what the others are compared with: ``Tokenizer.encode_batch`` on the same texts in memory, cold.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from textmill import Tokenizer
from textmill.base.config import from_table
from textmill.data.engines.local import LocalEngine
from textmill.data.pipeline import Pipeline
from textmill.data.prepare import prepare

STEPS: dict[str, dict[str, Any]] = {
    "full": {"filter": {"presets": ["gopher"]}, "dedup": {"exact": True}},
    "plain": {"dedup": {"exact": False}},
    "memory": {"filter": {"presets": ["gopher"]}, "dedup": {"exact": True, "minhash": True, "recall_sample": 0}},
}


def main(corpus: str, tokenizer: str, workers: str, way: str) -> None:
    """Measure."""
    if way == "encode":
        print(json.dumps(_encode(corpus, tokenizer, int(workers))))
        return
    with tempfile.TemporaryDirectory(dir=Path(corpus).parent) as folder:
        table = {
            "output": {"dir": f"{folder}/out"},
            "sources": {"corpus": {"path": corpus}},
            "tokenizer": {"path": tokenizer},
        }
        pipeline = from_table(Pipeline, table | STEPS[way])
        engine = LocalEngine(int(workers))
        begin = time.perf_counter()
        report = prepare(pipeline, engine)
        time_s = time.perf_counter() - begin
        engine.close()
    usage = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    totals = report.totals["corpus"]
    kept = {name: totals[f"train_num_{name}"] + totals[f"heldout_num_{name}"] for name in ("documents", "tokens")}
    print(json.dumps({"time_s": time_s, **kept, "peak_kb": max(usage)}))


def _encode(corpus: str, tokenizer: str, threads: int) -> dict[str, Any]:
    with Path(corpus).open() as lines:
        texts = [json.loads(line)["text"] for line in lines]
    loaded = Tokenizer.load(tokenizer)
    begin = time.perf_counter()
    batch = loaded.encode_batch(texts, threads)
    return {"time_s": time.perf_counter() - begin, "tokens": len(batch.ids)}


if __name__ == "__main__":
    main(*sys.argv[1:])
