"""A model that is evaluated: loaded, with a name for people and a fingerprint that tells it from any other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.base.files import sha256_file
from textmill.checkpoint.adapter_files import CONFIG, is_adapter, read_config
from textmill.checkpoint.adapter_model import base_of
from textmill.checkpoint.store import OPTIMIZER
from textmill.infer.engine import LanguageModel, load
from textmill.infer.runners.native import NativeRunner
from textmill.tokenizer.end_of_text import END_OF_TEXT, end_of_text

# What a model says depends on these; a card or a log beside them does not matter, nor does a checkpoint's optimizer.
_WEIGHTS = "*.safetensors"
_FILES = (
    _WEIGHTS,
    "*.index.json",
    "config.json",
    CONFIG,
    "tokenizer*.json",
    "generation_config.json",
    "chat_template.jinja",
)
_MOST_ADAPTERS = 8  # on top of each other


@dataclass(frozen=True, slots=True)
class EvaluatedModel:
    """What is measured, and how it is loaded.

    Attributes:
        lm: the loaded model.
        name: what people call it.
        header: what a file of results says of it: name, sha256 of its files, how it is loaded.
        first_id: what the first token of a text follows.
    """

    lm: LanguageModel
    name: str
    header: dict[str, Any]
    first_id: int


def open_evaluated(
    path: Path,
    *,
    weights: str = "auto",
    kv: str = "f32",
    context: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    sha256: str | None = None,
) -> EvaluatedModel:
    """Load a model folder or GGUF file; arguments and errors as in ``textmill.load``.

    Keys and values are kept in float32 unless told otherwise: a score should be the model's, not its cache's.
    ``sha256`` is the model's fingerprint where it is known.
    """
    lm = load(path, device=device, weights=weights, kv=kv, context=context, threads=threads)
    with lm.batcher.lend_runner() as runner:
        engine = f"native {runner.isa}" if isinstance(runner, NativeRunner) else f"torch {device}"
    header = {
        "name": name_of(path),
        "model_sha256": sha256 or fingerprint(path),
        "weights": weights,
        "kv": kv,
        "context": lm.context,
        "engine": engine,
    }
    return EvaluatedModel(lm, name_of(path), header, first_id(lm))


def name_of(path: Path) -> str:
    """What to call a model after its place: a file's or a folder's name, a run's checkpoint by run and step."""
    path = path.resolve()
    if path.parent.name == "checkpoints":
        name = f"{path.parent.parent.name}-{path.name}"
    elif path.name == "model" and (path.parent / "events.jsonl").is_file():
        name = path.parent.name
    elif path.name == "adapter" and is_adapter(path):  # not the name of the merged model, which is another one's
        name = f"{path.parent.name}-adapter"
    else:
        name = path.name.removesuffix(".gguf") if path.is_file() else path.name
    return re.sub(r"[^\w.+-]+", "-", name) or "model"


def fingerprint(path: Path, *, progress: Callable[[int, int], None] | None = None) -> str:
    """Hash what a model's answers depend on: its weights, sizes and tokenizer; 64 hexadecimal digits.

    Args:
        path: a folder or a file; an adapter's is hashed together with its base.
        progress: called with the bytes that are hashed, and with those of all.

    Raises:
        DataError: there are no weights, or an adapter's base is not there.
    """
    layers = [(layer, _files_of(layer)) for layer in _layers(path)]
    total = sum(file.stat().st_size for _, files in layers for file in files)
    done = 0

    def tell(num_bytes: int) -> None:
        nonlocal done
        done += num_bytes
        if progress is not None:
            progress(done, total)

    below = ""
    for layer, files in reversed(layers):
        if layer.is_file():
            below = sha256_file(layer, tell)
            continue
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.name}\n{sha256_file(file, tell)}\n".encode())
        if below:
            digest.update(f"base\n{below}\n".encode())
        below = digest.hexdigest()
    return below


def _layers(path: Path) -> Iterator[Path]:
    """A model; where it is an adapter, its base behind it, and that one's."""
    for _ in range(_MOST_ADAPTERS + 1):
        yield path
        if not is_adapter(path):
            return
        path = base_of(path, read_config(path))
    raise DataError(f"{path} is the {_MOST_ADAPTERS}th adapter on top of others; is it its own base? See {CONFIG}")


def _files_of(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted({file for pattern in _FILES for file in path.glob(pattern) if file.name != OPTIMIZER})
    if not any(file.match(_WEIGHTS) for file in files):
        raise DataError(f"{path} holds no weights ({_WEIGHTS}), so there is nothing that tells this model from others")
    return files


def first_id(lm: LanguageModel) -> int:
    """What a text's first token follows: the BOS that the model's files ask for, or what ends documents in training.

    Raises:
        DataError: the model names neither.
    """
    if lm.rules.prefix_ids:
        return lm.rules.prefix_ids[0]
    if END_OF_TEXT in lm.tokenizer.special_tokens:
        return lm.tokenizer.special_tokens[END_OF_TEXT]
    if lm.rules.bos_token_id is not None:
        return lm.rules.bos_token_id
    try:
        return end_of_text(lm.tokenizer)
    except DataError as error:
        raise DataError(
            "the model names no BOS, and its tokenizer has no token that ends a text: there is nothing that a text's "
            'first token could follow. Give tokenizer_config.json a "bos_token"'
        ) from error
