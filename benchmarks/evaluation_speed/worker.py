"""One engine in a process of its own: it loads the model, and scores what it is told to, line by line.

A line in is ``{"pairs": [[context, continuation], ...]}``, a line out ``{"seconds": ..., "logprobs": [...]}``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

THREADS = 2


def open_engine(name: str, model: str, precision: str, batch_size: int) -> Any:
    """Load a model of lm-evaluation-harness, its own or ours."""
    import torch

    torch.set_num_threads(THREADS)
    if name == "textmill":
        from lm_eval.api.registry import get_model

        import textmill.eval.harness  # noqa: F401  registers it

        return get_model("textmill")(model, weights=precision, kv=precision, threads=THREADS)
    from lm_eval.models.huggingface import HFLM

    dtype = {"f32": "float32", "bf16": "bfloat16"}[precision]
    return HFLM(pretrained=model, dtype=dtype, batch_size=batch_size, device="cpu")


def main() -> None:
    """Serve until standard input ends."""
    from lm_eval.api.instance import Instance

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what the harness prints is no answer
    name, model, precision, batch_size = sys.argv[1:]
    engine = open_engine(name, model, precision, int(batch_size))
    answers.write("{}\n")
    for line in sys.stdin:
        pairs = json.loads(line)["pairs"]
        asked = [
            Instance(request_type="loglikelihood", doc={}, arguments=tuple(pair), idx=0, metadata=("", 0, 1))
            for pair in pairs
        ]
        begin = time.perf_counter()
        found = engine.loglikelihood(asked, disable_tqdm=True)
        seconds = time.perf_counter() - begin
        answers.write(json.dumps({"seconds": seconds, "logprobs": [value for value, _ in found]}) + "\n")


if __name__ == "__main__":
    main()
