"""Instructions for each byte, counted by callgrind: they do not depend on what else the machine does.

valgrind knows no AVX-512 and tells programs so: everybody's AVX2 code is counted.
"""

from __future__ import annotations

import re
import shutil
from typing import Any

from tokenizer_speed.measure import run
from tokenizer_speed.places import RESULTS

_TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)
ENGINES = ("textmill", "gigatoken", "snaptokens", "splintr-rs", "toktok-rs", "quicktok-v1")


def count_all(quick: bool) -> dict[str, dict[str, float] | str]:
    """Count instructions a byte of a first and of a second pass over 2 MB; a str says why there is no count."""
    if shutil.which("valgrind") is None:
        return dict.fromkeys(ENGINES, "valgrind is missing: apt-get install valgrind")
    job = {
        "kind": "encode",
        "corpora": ("english", "code", "multilingual"),
        "num_bytes": 200_000 if quick else 2_000_000,
        "document_bytes": 4096,
        "threads": 1,
    }
    return {engine: _instructions(job, engine) for engine in ENGINES}


def _instructions(job: dict[str, Any], engine: str) -> dict[str, float] | str:
    totals = []
    size = 0
    for passes in range(3):
        counted = _count({**job, "passes": passes}, engine)
        if isinstance(counted, str):
            return counted
        total, size = counted
        totals.append(total)
    return {"cold": (totals[1] - totals[0]) / size, "warm": (totals[2] - totals[1]) / size}


def _count(job: dict[str, Any], engine: str) -> tuple[int, int] | str:
    RESULTS.mkdir(parents=True, exist_ok=True)
    out = RESULTS / "callgrind.out"
    out.unlink(missing_ok=True)
    valgrind = ("env", "TEXTMILL_ISA=avx2", "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}")
    facts = run(job, engine, threads=1, before=valgrind)
    if "error" in facts:
        return facts["error"]
    return int(_TOTAL.findall(out.read_text())[-1]), facts["bytes"]
