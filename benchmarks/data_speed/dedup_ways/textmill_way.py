"""textmill: keys, and the search with every candidate verified. Texts are Python strings in memory."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.text.dedup import DedupSettings, MinHashSettings, UnitKeys, find_duplicates, read_verdict
from textmill.text.text_batch import TextBatch


def main(corpus: str, pairs: str, num_threads: str) -> None:
    """Measure."""
    threads = int(num_threads)
    texts = [json.loads(line)["text"] for line in Path(corpus).read_text().splitlines()]
    minhash = MinHashSettings()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        batch = TextBatch.of(texts)
        keys = UnitKeys.of(batch, np.zeros(len(texts), np.float32), minhash, num_threads=threads)

        def read(unit: int, numbers: NDArray[np.int64]) -> TextBatch:
            return batch.at(numbers)

        find_duplicates([keys], DedupSettings(minhash=minhash), read, folder=Path(folder), threads=threads)
        kept = read_verdict(Path(folder), 0).kept
        time_s = time.perf_counter() - begin
    sets, offsets = _core.shingle_sets(batch.data, batch.offsets, minhash.ngram)
    begin = time.perf_counter()
    _core.minhash_bands_of_sets(sets, offsets, minhash.bands, minhash.rows, minhash.seed, threads)
    signature_s = time.perf_counter() - begin
    found = [not (kept[a] and kept[b]) for a, b, _ in json.loads(Path(pairs).read_text())]
    print(json.dumps({"time_s": time_s, "signature_s": signature_s, "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
