"""What is tuned in a measurement: a model's folder and conversations, the same for both ways.

The conversations are random words, as long as the case says: what they say costs nothing.
"""

from __future__ import annotations

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

from textmill.checkpoint.huggingface import save_model
from textmill.tune.base_model import open_base

WORDS = "river stone light garden table morning window bread paper road winter music letter field house".split()
MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A measurement.

    Attributes:
        name: of it.
        ragged: whether conversations differ in length, from tens of words to hundreds; else all have 180.
        rows: conversations of a step.
        rank: of adapters on all linear layers of blocks.
        steps: that are taken; the first two are not counted.
        threads: of both.
    """

    name: str
    ragged: bool
    rows: int = 8
    rank: int = 16
    steps: int = 8
    threads: int = 2


CASES = (Case(name="unpacked", ragged=False), Case(name="ragged", ragged=True))


def prepare(folder: Path, case: Case) -> Path:
    """Write the model's folder, where it is not there, and the case's conversations; returns the case's file."""
    model = folder / "model"
    if not (model / "config.json").exists():
        base = open_base(MODEL, 1024)
        save_model(model, base.config, dict(base.weights()), base.tokenizer, **base.small_files)
    rng = random.Random(1)
    chats = []
    for _ in range(case.rows * case.steps):
        num_words = min(700, int(20 * 2 ** rng.uniform(0, 5))) if case.ragged else 180
        words = [rng.choice(WORDS) for _ in range(num_words)]
        asked, said = " ".join(words[: num_words // 2]), " ".join(words[num_words // 2 :])
        chats.append([{"role": "user", "content": asked}, {"role": "assistant", "content": said}])
    data = folder / f"{case.name}.jsonl"
    data.write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    path = folder / f"{case.name}.json"
    path.write_text(json.dumps({**asdict(case), "model": str(model), "data": str(data), "folder": str(folder)}))
    return path
