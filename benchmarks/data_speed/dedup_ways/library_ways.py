"""datasketch and rensa (all of a document's shingles hashed): signatures, then the library's own LSH index.

Words are those of a regular expression, lower-cased. ``signature_s`` is measured apart, from shingles that were hashed
before, in the quickest form that the library takes them in.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

BANDS, ROWS, NGRAM = 14, 8, 5
_WORD = re.compile(r"\w+")


def shingles(text: str) -> list[str]:
    """Make the set of shingles of a text."""
    words = _WORD.findall(text.lower())
    return list({" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))})


def run_datasketch(texts: list[str]) -> tuple[float, float, list[bool]]:
    """MinHash.bulk, and MinHashLSH with a query for each document."""
    import numpy as np
    from datasketch import MinHash, MinHashLSH

    begin = time.perf_counter()
    signatures = MinHash.bulk(([s.encode() for s in shingles(text)] for text in texts), num_perm=BANDS * ROWS)
    index = MinHashLSH(num_perm=BANDS * ROWS, params=(BANDS, ROWS))
    with index.insertion_session() as session:
        for number, signature in enumerate(signatures):
            session.insert(number, signature, check_duplication=False)
    flags = [len(index.query(signature)) > 1 for signature in signatures]
    time_s = time.perf_counter() - begin
    hashes = [np.array([hash(s) & 0xFFFFFFFF for s in shingles(text)], np.uint32) for text in texts]
    begin = time.perf_counter()
    MinHash.bulk(hashes, num_perm=BANDS * ROWS, hashfunc=lambda value: value)
    return time_s, time.perf_counter() - begin, flags


def run_rensa(texts: list[str]) -> tuple[float, float, list[bool]]:
    """RMinHash's matrix of digests of whole sets, and RMinHashLSH's flags of a matrix."""
    import numpy as np
    from rensa import RMinHash, RMinHashLSH

    begin = time.perf_counter()
    matrix = RMinHash.digest_matrix_from_token_sets([shingles(text) for text in texts], BANDS * ROWS, 1)
    index = RMinHashLSH(threshold=0.75, num_perm=BANDS * ROWS, num_bands=BANDS)
    flags = index.query_duplicate_flags_matrix_one_shot(matrix)
    time_s = time.perf_counter() - begin
    hashes = RMinHash.hash_token_sets([shingles(text) for text in texts])
    flat = np.concatenate([np.array(each, np.uint64) for each in hashes])
    offsets = np.cumsum([0, *map(len, hashes)]).astype(np.uint64)
    begin = time.perf_counter()
    RMinHash.digest_matrix_from_flat_token_hashes(flat, offsets, BANDS * ROWS, 1)
    return time_s, time.perf_counter() - begin, list(flags)


def main(name: str, corpus: str, pairs: str, threads: str) -> None:
    """Measure."""
    os.environ["RAYON_NUM_THREADS"] = threads
    texts = [json.loads(line)["text"] for line in Path(corpus).read_text().splitlines()]
    time_s, signature_s, flags = {"datasketch": run_datasketch, "rensa": run_rensa}[name](texts)
    found = [bool(flags[a] or flags[b]) for a, b, _ in json.loads(Path(pairs).read_text())]
    print(json.dumps({"time_s": time_s, "signature_s": signature_s, "found": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
