"""The models: the fetched GGUF, and what textmill makes of it for both engines to read."""

from __future__ import annotations

from pathlib import Path

from inference_speed.places import MODELS
from textmill.checkpoint.convert import convert
from textmill.checkpoint.sources import resolve_model

NAME = "smollm2-135m-instruct"
TYPES = ("bf16", "q8_0", "q4_0", "f32")


def shipped() -> Path:
    """Return the fetched file, Q4_1 with a head of Q8_0; raises like ``resolve_model`` where it is not there."""
    return resolve_model(Path(NAME))


def gguf(kind: str) -> Path:
    """Return the model in a type of ``TYPES``, made from the fetched file, or ``q4_1``, which is that file."""
    return shipped() if kind == "q4_1" else made(shipped(), kind)


def made(source: Path, kind: str) -> Path:
    """Return a model as a GGUF of a type, made where it is not there or older than its source."""
    name = NAME if source == shipped() else source.parent.name
    target = MODELS / f"{name}.{kind}.gguf"
    newest = max(path.stat().st_mtime for path in (source.iterdir() if source.is_dir() else [source]))
    if not target.exists() or target.stat().st_mtime < newest:
        MODELS.mkdir(parents=True, exist_ok=True)
        convert(source, target, type=kind)
    return target


def folder() -> Path:
    """Return the model as a Hugging Face folder in bf16."""
    target = MODELS / f"{NAME}-bf16"
    if not target.exists():
        MODELS.mkdir(parents=True, exist_ok=True)
        convert(shipped(), target, type="bf16")
    return target
