"""datatrove: read, Gopher's two filters, exact deduplication, tokens: CORPUS TOKENIZER WORKERS. Seconds, as JSON.

The corpus is cut into a file for each process first, which is not counted: datatrove cannot share one file out.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import ExactDedupFilter, ExactDedupSignature, ExactFindDedups
from datatrove.pipeline.dedup.exact_dedup import ExactDedupConfig
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter


def text_of(document: Document) -> str:
    """The content that is compared."""
    return document.text


EXACT = ExactDedupConfig(content_getter=text_of)


def main(corpus: str, tokenizer: str, workers: str) -> None:
    """Measure."""
    num_parts = int(workers)
    lines = Path(corpus).read_text().splitlines(keepends=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        bounds = [len(lines) * part // num_parts for part in range(num_parts + 1)]
        for part in range(num_parts):
            (folder / "in" / f"{part:03d}.jsonl").write_text("".join(lines[bounds[part] : bounds[part + 1]]))
        kept, signatures, duplicates = (str(folder / place) for place in ("kept", "sig", "dups"))
        begin = time.perf_counter()
        stages = [
            (
                [
                    JsonlReader(str(folder / "in")),
                    GopherRepetitionFilter(),
                    GopherQualityFilter(),
                    JsonlWriter(kept, compression=None),
                    ExactDedupSignature(signatures, EXACT, finder_workers=num_parts),
                ],
                num_parts,
            ),
            ([ExactFindDedups(signatures, duplicates, EXACT)], num_parts),
            (
                [
                    JsonlReader(kept),
                    ExactDedupFilter(duplicates, EXACT),
                    DocumentTokenizer(
                        str(folder / "tokens"), tokenizer, eos_token="<|endoftext|>", shuffle_documents=False
                    ),
                ],
                num_parts,
            ),
        ]
        for number, (pipeline, tasks) in enumerate(stages):
            logs = str(folder / f"logs-{number}")
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=num_parts, logging_dir=logs).run()
        time_s = time.perf_counter() - begin
        num_tokens = sum(file.stat().st_size for file in (folder / "tokens").rglob("*.ds")) // 2
        num_documents = sum(file.stat().st_size for file in (folder / "tokens").rglob("*.ds.index")) // 8
    print(json.dumps({"time_s": time_s, "documents": num_documents, "tokens": num_tokens}))


if __name__ == "__main__":
    main(*sys.argv[1:])
