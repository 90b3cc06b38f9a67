"""The best loss of a text's characters in a given time, beside nanoGPT's recipe for a CPU (``plain_gpt``).

Both train on the first 90 % of a text (tiny-shakespeare: 1,115,394 characters) in a process of their own, on 2 threads.
Time is of the wall, from the start of the process to the end of training, text, imports and checkpoint included,
evaluation not. Losses are nats a character on the whole last 10 %, in windows of the model's own context side by side,
every character once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from data_speed import fresh_process
from textmill.base.events import read_events
from textmill.checkpoint.huggingface import load_llama
from textmill.model.score import score_documents
from textmill.tokenizer.end_of_text import end_of_text
from textmill.tokenizer.tokenizer import Tokenizer
from training_parts.character_recipes import RECIPES

_PLAIN_GPT = Path(__file__).with_name("plain_gpt.py")
TIMES = {"short": None, "middle": 1.5, "long": 5.0}
"""Of the baseline's time in the same run; the short one takes the steps that its recipe says."""
SEEDS_OF_LONG = 1
"""``middle`` is below the loss that ``long`` has to reach, so that one seed is enough to show what more time gives."""


def measure(text: Path, folder: Path, seeds: int) -> dict[str, Any]:
    """Train the baseline and each recipe with so many seeds, one after another in each round.

    Returns:
        ``baseline``, ``short``, ``middle``, ``long``: a list each, of ``[seconds, nats a character]`` by seed; of
        ``long`` for the first ``SEEDS_OF_LONG``.
    """
    figures: dict[str, Any] = {name: [] for name in ("baseline", *RECIPES)}
    for seed in range(1, seeds + 1):
        baseline = plain_gpt(text, seed)
        figures["baseline"].append(baseline)
        for name in RECIPES if seed <= SEEDS_OF_LONG else [name for name in RECIPES if name != "long"]:
            share = TIMES[name]
            allowed_s = None if share is None else share * baseline[0]
            figures[name].append(ours(text, folder / f"{name}-{seed}", name, seed, allowed_s))
    return figures


def plain_gpt(text: Path, seed: int) -> tuple[float, float]:
    """Seconds and nats of the baseline."""
    begin = time.time()
    command = [sys.executable, str(_PLAIN_GPT), str(text), "--seed", str(seed)]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return told["ended"] - begin, told["nats"]


def ours(text: Path, folder: Path, name: str, seed: int, allowed_s: float | None) -> tuple[float, float]:
    """Seconds and nats of ``textmill train`` with a recipe; ``allowed_s`` is what it may take."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPES[name].format(run=folder / "run", text=text.resolve(), seed=seed))
    budget = [] if allowed_s is None else ["--set", f"budget.minutes={0.92 * allowed_s / 60:.3f}"]
    begin = time.time()
    command = [sys.executable, "-m", "textmill", "train", str(recipe), *budget]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "2"})
    events = read_events(folder / "run" / "events.jsonl")
    evaluating = 0.0
    for before, event in pairwise(events):
        evaluating += event.time_s - before.time_s if event.kind == "eval" else 0.0
    ended = next(event.time_s for event in events if event.kind == "end")
    return ended - begin - evaluating, fresh_process.call(nats_a_character, folder / "run", text)


def nats_a_character(run: Path, text: Path) -> float:
    """Score a run's model on the last 10 % of the text."""
    model = load_llama(run / "model")
    tokenizer = Tokenizer.load(run / "tokenizer.json")
    characters = text.read_text(encoding="utf-8")
    ids = tokenizer.encode(characters[int(len(characters) * 0.9) :])
    context = model.config.max_position_embeddings
    nats = score_documents(model, [ids], first_id=end_of_text(tokenizer), context=context, stride=context)
    return float(nats.sum()) / len(ids)
