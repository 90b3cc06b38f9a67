"""What rounding takes from the answers: the perplexity of held-out text, beside that of the same weights in f32."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference_speed import models, text
from inference_speed.cases import LLAMA_CPP, OURS
from inference_speed.places import MODELS, ROOT, TRAINED
from inference_speed.processes import Process
from textmill.checkpoint.stored_model import open_model
from textmill.train.presets import size_for

_WINDOW = 1024
_MINUTES = 4.0
_QUICK_MINUTES = 0.1
_QUICK_TOKENS = 700


@dataclass(frozen=True)
class Score:
    """How well a model in an engine expects a text.

    Attributes:
        model: which model.
        engine: what computed it.
        weights: what they were kept in.
        perplexity: of the tokens of the text.
        over_f32: the perplexity by that of the same engine with the weights in f32.
    """

    model: str
    engine: str
    weights: str
    perplexity: float
    over_f32: float


def measure(peer_python: Path, *, quick: bool) -> Iterator[Score]:
    """Score SmolLM2, and a model that textmill trains where that has not been done."""
    yield from _score_model("SmolLM2-135M-Instruct", models.shipped(), text.held_out(), peer_python, quick=quick)
    minutes = _QUICK_MINUTES if quick else _MINUTES
    trained = _trained(minutes)
    yield from _score_model(
        f"trained for {minutes:g} minutes", trained, text.held_out(("code", "prose")), peer_python, quick=quick
    )


def _score_model(name: str, source: Path, held_out: str, peer_python: Path, *, quick: bool) -> Iterator[Score]:
    stored = open_model(source)
    ids = stored.load_tokenizer().encode(held_out)[: _QUICK_TOKENS if quick else None]
    window = min(_WINDOW, stored.config.max_position_embeddings)
    exact = models.made(source, "f32")
    theirs = {kind: _quantised(exact, kind, peer_python) for kind in ("q4_0", "q4_1")}
    ours = [("int8", exact, "int8"), ("int4", exact, "int4")]
    ours += [(f"llama.cpp's {kind}", path, "auto") for kind, path in theirs.items()]

    with Process(sys.executable, engine=OURS, model=str(exact), weights="f32", kv="f32") as process:
        reference = _perplexity(process, ids, window)
    yield Score(name, OURS, "f32", reference, 1.0)
    for label, path, weights in ours:
        with Process(sys.executable, engine=OURS, model=str(path), weights=weights) as process:
            perplexity = _perplexity(process, ids, window)
        yield Score(name, OURS, label, perplexity, perplexity / reference)

    for label, path in {"f32": exact, **theirs}.items():
        with Process(peer_python, engine=LLAMA_CPP, model=str(path)) as process:
            perplexity = _perplexity(process, ids, window, flash=True)
        reference = perplexity if label == "f32" else reference
        yield Score(name, LLAMA_CPP, label, perplexity, perplexity / reference)


def _perplexity(process: Process, ids: Sequence[int], window: int, **way: bool) -> float:
    process.ask("open", num_texts=1, context=window, way=way)
    scored = process.ask("score", ids=list(ids), window=window)
    return math.exp(scored["nats"] / scored["num_tokens"])


def _quantised(source: Path, kind: str, peer_python: Path) -> Path:
    target = source.with_suffix(f".llama-{kind}.gguf")
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        command = [peer_python, "-m", "inference_speed.llama_cpp_quantize", source, target, kind]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")})
    return target


def _trained(minutes: float) -> Path:
    """The shipped recipe's model, as large as the demo makes it for so many minutes; kept between runs."""
    folder = TRAINED if minutes == _MINUTES else MODELS / "trained-quick"
    if not (folder / "model").exists():
        settings = [f'run.dir="{folder}"', *size_for(minutes)]
        command = [sys.executable, "-m", "textmill", "train", "tiny", "--minutes", str(minutes), "--resume"]
        command += [part for setting in settings for part in ("--set", setting)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "model"
