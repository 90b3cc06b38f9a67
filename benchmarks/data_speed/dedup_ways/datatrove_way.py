"""datatrove: its three MinHash stages with the local executor, a process for each thread; words by spaCy, as shipped.

It is told the files in parts, one for each process. Its signature stage is ``signature_s``.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
import time
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.readers import JsonlReader

BANDS, ROWS, NGRAM = 14, 8, 5


def main(corpus: str, pairs: str, threads: str) -> None:
    """Measure."""
    lines = Path(corpus).read_text().splitlines(keepends=True)
    num_parts = int(threads)
    config = MinhashConfig(n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bounds = [len(lines) * part // num_parts for part in range(num_parts + 1)]
        (folder / "in").mkdir()
        for part in range(num_parts):
            (folder / "in" / f"{part:03d}.jsonl").write_text("".join(lines[bounds[part] : bounds[part + 1]]))
        begin = time.perf_counter()
        stages = [
            ([JsonlReader(str(folder / "in")), MinhashDedupSignature(str(folder / "sig"), config)], num_parts),
            ([MinhashDedupBuckets(str(folder / "sig"), str(folder / "buckets"), config=config)], BANDS),
            ([MinhashDedupCluster(str(folder / "buckets"), str(folder / "remove"), config=config)], 1),
        ]
        times = []
        for number, (pipeline, tasks) in enumerate(stages):
            logs = str(folder / f"logs-{number}")
            LocalPipelineExecutor(pipeline, tasks=tasks, workers=min(tasks, num_parts), logging_dir=logs).run()
            times.append(time.perf_counter() - begin)
        dropped = set()
        for part in range(num_parts):
            file = folder / "remove" / f"{part:06d}.remove"
            if file.exists():
                dropped |= {bounds[part] + number for (number,) in struct.iter_unpack("<I", file.read_bytes())}
    found = [a in dropped or b in dropped for a, b, _ in json.loads(Path(pairs).read_text())]
    print(json.dumps({"time_s": times[-1], "signature_s": times[0], "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
