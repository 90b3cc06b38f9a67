"""What the extension of the context gives: bits per byte by position, before it, after it, and with as much training
at the old context.

    python -m training_parts.extension FOLDER [--steps 700] [--extension-steps 700]       (in benchmarks/)

A small model trains on modules of the standard library at 256 tokens, then on longer ones at 1,024 with another base
of RoPE. Held-out modules are read through windows that begin at every 128th token, so that the same text is scored at
every position: what differs is how much stands before it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.base.bootstrap import bootstrap_ratio
from textmill.checkpoint.huggingface import load_llama
from textmill.checkpoint.store import checkpoint_folder
from textmill.model.llama import Llama
from textmill.model.score import nats_of
from textmill.text.stdlib import read_stdlib
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.corpus import TOKENIZER, open_shards
from textmill.train.pipeline import run_recipe
from textmill.train.recipe import load_recipe
from textmill.train.run import Run
from training_parts.silent import Silent

SHORT, LONG = 256, 1024
BLOCK = 128
LONG_CHARACTERS = 16_000
FAR = slice(4, 8)  # blocks of positions 512 to 1,023
ROWS_AT_ONCE = 8
RECIPE = """
[run]
dir = "{run}"
[tokenizer]
vocab_size = 512
[model]
preset = "tiny"
[data.sources.shorter]
path = "shorter"
[data.sources.longer]
path = "longer"
[batch]
rows = 16
[[stages]]
name = "short"
context = 256
tokens = {tokens}
mixture = {{ shorter = 0.5, longer = 0.5 }}
[[stages]]
name = "long"
context = {context}
rope_theta = {rope_theta}
tokens = {more_tokens}
mixture = {{ shorter = 0.1, longer = 0.9 }}
[schedule]
peak_lr = 3e-3
warmup_steps = 10
decay_fraction = {decay_fraction}
[optimizer]
kind = "muon"
[checkpoint]
every_steps = {steps}
keep = 9
[eval]
every_steps = 1000000
holdout = 0.1
holdout_kind = "documents"
"""


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=700, help="of 4,096 tokens, at 256 tokens of context")
    parser.add_argument("--extension-steps", type=int, default=700, help="at 1,024")
    given = parser.parse_args()
    print(json.dumps(measure(given.folder, given.steps, given.extension_steps)))


def measure(folder: Path, steps: int = 700, extension_steps: int = 700) -> dict[str, Any]:
    """Train with the extension and without it; returns bits per byte of each block of 128 positions.

    Returns:
        ``before``, ``after`` and ``without``: a list each, of as many blocks as the model's context holds; ``steps``;
        ``gain``: what positions 512 to 1,023 of ``after`` take less than the last block of ``without``, which is the
        most context that one has: bits per byte, and the 95 % interval over the documents.
    """
    write_text(folder)
    kinds = {"after": (LONG, 130_000.0), "without": (SHORT, 10_000.0)}
    runs = {
        name: _train(folder / f"{name}.toml", context, theta, (steps, extension_steps))
        for name, (context, theta) in kinds.items()
    }
    documents = list(held_out(runs["after"]))
    before = checkpoint_folder(runs["after"].folder, steps)
    models = {"before": (before, SHORT), **{name: (run.folder / "model", kinds[name][0]) for name, run in runs.items()}}
    bits = {name: bits_by_position(load_llama(model), documents, context) for name, (model, context) in models.items()}
    bytes_D = np.array([scored_bytes(num_bytes) for _, num_bytes in documents])
    gain_D = bits["without"][:, -1] - bits["after"][:, FAR].mean(axis=1)
    return {
        **{name: (bits_DP.sum(axis=0) / bytes_D.sum()).tolist() for name, bits_DP in bits.items()},
        "gain": [float(gain_D.sum() / bytes_D.sum()), *(bootstrap_ratio(gain_D, bytes_D) or ())],
        "steps": [steps, extension_steps],
    }


def write_text(folder: Path) -> None:
    """Write modules of the standard library into two folders, by their length."""
    for document in read_stdlib("stdlib:code", "code"):
        kind = "longer" if len(document.text) >= LONG_CHARACTERS else "shorter"
        (folder / kind).mkdir(parents=True, exist_ok=True)
        name = str(document.id).replace("/", ".") + ".txt"
        (folder / kind / name).write_text(document.text, encoding="utf-8", newline="")


def held_out(run: Run) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Beginnings of long documents that the run was not trained on: their ids, and the bytes that each stands for."""
    tokenizer = Tokenizer.load(run.folder / TOKENIZER)
    _, sets = open_shards(run.folder, run.recipe, tokenizer)
    num_bytes = np.array([len(tokenizer.decode_bytes([token])) for token in range(tokenizer.vocab_size)])
    for number in range(sets["longer"].manifest.num_documents):
        ids = sets["longer"].document(number)[: 3 * LONG]
        if len(ids) > 2 * LONG:
            yield ids, num_bytes[ids]


def bits_by_position(
    model: Llama, documents: list[tuple[NDArray[np.int64], NDArray[np.int64]]], context: int
) -> NDArray[np.float64]:
    """Score the same text with 0 to 127 tokens before it, 128 to 255, and so on: float64[documents, blocks], in bits.

    Args:
        documents: ids and bytes of each token. Text before the 1,024th token of a document is context alone: it
            could not stand at every position.
        context: tokens of a window.
    """
    return np.array([_nats_by_position(model, ids, context).sum(axis=1) for ids, _ in documents]) / math.log(2)


def scored_bytes(num_bytes: NDArray[np.int64]) -> int:
    """Bytes of a document's text that is scored."""
    num_tokens = (len(num_bytes) - LONG) // BLOCK * BLOCK
    return int(num_bytes[LONG : LONG + num_tokens].sum())


def _nats_by_position(model: Llama, ids: NDArray[np.int64], context: int) -> NDArray[np.float64]:
    """Nats of the tokens from the 1,024th on, in whole blocks, at each block of a window: float64[blocks, tokens]."""
    num_tokens = (len(ids) - LONG) // BLOCK * BLOCK
    blocks = context // BLOCK
    nats = np.zeros((blocks, num_tokens))
    # A window's inputs stand one before its targets; padding behind the last is never scored.
    padded = np.concatenate((ids, np.zeros(context, np.int64)))
    starts = range(LONG - context + BLOCK - 1, LONG + num_tokens - 1, BLOCK)
    for first in range(0, len(starts), ROWS_AT_ONCE):
        chosen = starts[first : first + ROWS_AT_ONCE]
        windows = np.stack([padded[start : start + context + 1] for start in chosen])
        with torch.no_grad():
            x_BTD = model.backbone(torch.from_numpy(windows[:, :-1].copy()))
            found = nats_of(model.head(x_BTD).flatten(0, 1), torch.from_numpy(windows[:, 1:].copy()).flatten())
        for start, row in zip(chosen, found.view(len(chosen), blocks, BLOCK).double().numpy(), strict=True):
            for block in range(blocks):
                place = start + 1 + block * BLOCK - LONG
                if 0 <= place < num_tokens:
                    nats[block, place : place + BLOCK] = row[block]
    return nats


def _train(recipe: Path, context: int, rope_theta: float, steps: tuple[int, int]) -> Run:
    tokens = 16 * SHORT
    recipe.write_text(
        RECIPE.format(
            run=recipe.with_suffix(""),
            context=context,
            rope_theta=rope_theta,
            tokens=steps[0] * tokens,
            more_tokens=steps[1] * tokens,
            decay_fraction=round(steps[1] / sum(steps), 6),
            steps=steps[0],
        )
    )
    return run_recipe(load_recipe(recipe), Silent(lambda event: None), resume=True)


if __name__ == "__main__":
    main()
