"""What a model's files say of it, by their headers alone: also of models that the engine refuses, and why it does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from textmill.base import gguf, safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint.adapter_files import is_adapter, read_config
from textmill.checkpoint.adapter_model import base_of
from textmill.checkpoint.json_files import read_json
from textmill.checkpoint.stored_model import open_model
from textmill.checkpoint.text_rules import TextRules
from textmill.model.config import ModelConfig

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer

_WEIGHT_FILES = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
# GGUF's keys behind the architecture, by the names that Hugging Face has for the same.
_SIZES = {
    "vocab_size": "vocab_size",
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
    "sliding_window": "attention.sliding_window",
    "num_local_experts": "expert_count",
}
# In this order: an attention norm is a norm, and an output projection of attention no head.
_PARTS = (
    ("norms", re.compile(r"norm|rope_freqs")),
    ("embeddings", re.compile(r"embed_tokens|value_embeddings|token_embd")),
    ("attention", re.compile(r"attn|attention")),
    ("feed-forward", re.compile(r"mlp|ffn|feed_forward|expert")),
    ("head", re.compile(r"lm_head|^output\.")),
)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class TensorFacts:
    """A tensor as its file's header has it: name, type, shape ([out, in] for matrices) and bytes."""

    name: str
    type: str
    shape: tuple[int, ...]
    num_bytes: int

    @property
    def part(self) -> str:
        """Which part of a model it is, by its name: embeddings, attention, feed-forward, norms, head or other."""
        return next((part for part, pattern in _PARTS if pattern.search(self.name)), "other")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """What there is to say of a model.

    Attributes:
        path: its folder or file.
        format: ``GGUF`` or ``Hugging Face folder``.
        name: what it calls itself, or its path's name.
        architecture: as the files name it.
        file_bytes: of the files that hold tensors.
        sizes: what the files say of the model's sizes, by Hugging Face's names.
        tensors: in the order of the files.
        config: its sizes where the engine runs it.
        refusal: why the engine does not run it.
        tokenizer: where it can be read, and else ``tokenizer_error`` says why not.
        text_rules: how texts begin and end, where both model and tokenizer can be read.
    """

    path: Path
    format: str
    name: str
    architecture: str
    file_bytes: int
    sizes: dict[str, Any]
    tensors: tuple[TensorFacts, ...]
    config: ModelConfig | None
    refusal: str | None
    tokenizer: Tokenizer | None
    tokenizer_error: str | None
    text_rules: TextRules | None

    @property
    def num_parameters(self) -> int:
        """Numbers in the model with what an adapter adds; in all tensors of the files where it does not run here."""
        if self.config is not None:
            return self.config.num_parameters
        return sum(int(np.prod(tensor.shape, dtype=object)) for tensor in self.tensors)


def describe(path: Path) -> ModelFacts:
    """Read a model's headers and its tokenizer; no tensor is read.

    Raises:
        DataError: the files are missing or so damaged that nothing can be said.
    """
    if is_adapter(path):
        return _of_adapter(path)
    facts = _of_gguf(path) if path.suffix == ".gguf" and not path.is_dir() else _of_folder(path)
    tokenizer, tokenizer_error = _tokenizer(path)
    config = refusal = text_rules = None
    try:
        stored = open_model(path, headers_only=True)
        config = stored.config
        if tokenizer is not None:
            text_rules = stored.load_text_rules(tokenizer)
    except (DataError, ConfigError) as error:
        refusal = str(error)
    return ModelFacts(
        **facts,
        config=config,
        refusal=refusal,
        tokenizer=tokenizer,
        tokenizer_error=tokenizer_error,
        text_rules=text_rules,
    )


def _of_gguf(path: Path) -> dict[str, Any]:
    header = gguf.read_header(path)
    architecture = header.value("general.architecture", str, "unknown")
    values = {name: header.values.get(f"{architecture}.{key}") for name, key in _SIZES.items()}
    table = header.tensors.get("token_embd.weight")
    if values["vocab_size"] is None and table is not None:
        values["vocab_size"] = table.shape[0]
    return {
        "path": path,
        "format": "GGUF",
        "name": header.value("general.name", str, path.stem),
        "architecture": architecture,
        "file_bytes": path.stat().st_size,
        "sizes": {name: _plain(value) for name, value in values.items() if value is not None},
        "tensors": tuple(
            TensorFacts(name=name, type=info.type.name, shape=info.shape, num_bytes=info.end - info.start)
            for name, info in header.tensors.items()
        ),
    }


def _of_folder(folder: Path) -> dict[str, Any]:
    table = read_json(folder / "config.json")
    rope = table.get("rope_parameters")
    if isinstance(rope, dict):
        table = {"rope_theta": rope.get("rope_theta")} | table
    files = sorted(path for path in folder.glob("*.safetensors") if _WEIGHT_FILES.fullmatch(path.name))
    tensors = []
    for path in files:
        tensors += [
            TensorFacts(name=name, type=_type_name(info.dtype), shape=info.shape, num_bytes=info.end - info.start)
            for name, info in safetensors.read_header(path).tensors.items()
        ]
    return {
        "path": folder,
        "format": "Hugging Face folder",
        "name": folder.resolve().name,
        "architecture": str(table.get("model_type", "unknown")),
        "file_bytes": sum(path.stat().st_size for path in files),
        "sizes": {name: table[name] for name in _SIZES if table.get(name) is not None},
        "tensors": tuple(tensors),
    }


def _of_adapter(folder: Path) -> ModelFacts:
    """What there is to say of its base, and by what it is changed."""
    adapter = read_config(folder)
    base = describe(base_of(folder, adapter))
    config, refusal = base.config, base.refusal
    try:
        config = open_model(folder, headers_only=True).config
    except (DataError, ConfigError) as error:
        refusal = str(error)
    return dataclasses.replace(
        base,
        path=folder,
        name=folder.resolve().name,
        format=f"{'DoRA ' if adapter.dora else ''}adapter of rank {adapter.rank} on {base.name} ({base.format})",
        config=config,
        refusal=refusal,
    )


def _type_name(dtype: np.dtype[Any]) -> str:
    if dtype == safetensors.BFLOAT16:
        return "BF16"
    return {"f": "F", "i": "I", "u": "U", "b": "BOOL"}[dtype.kind] + (
        "" if dtype.kind == "b" else f"{dtype.itemsize * 8}"
    )


def _plain(value: Any) -> Any:
    """A value that JSON can hold; of an array that says the same of every layer, that."""
    if not isinstance(value, np.ndarray):
        return value
    items = value.tolist()
    return items[0] if items and all(item == items[0] for item in items) else items


def _tokenizer(path: Path) -> tuple[Tokenizer | None, str | None]:
    from textmill.tokenizer.tokenizer import Tokenizer

    try:
        return Tokenizer.load(path), None
    except (DataError, ConfigError) as error:
        return None, str(error)
