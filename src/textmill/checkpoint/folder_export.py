"""A stored model as a Hugging Face folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from textmill.base import safetensors
from textmill.base.errors import ConfigError
from textmill.base.files import new_folder, write_file
from textmill.base.gguf_blocks import dequantize, quantize
from textmill.checkpoint.converted_tensor import ConvertedTensor, read_values
from textmill.checkpoint.huggingface import write_small_files
from textmill.checkpoint.huggingface_model import TYPE_OF_DTYPE
from textmill.checkpoint.json_files import read_json, to_json
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.model.config import ModelConfig

_DTYPES = {name: dtype for dtype, name in TYPE_OF_DTYPE.items()}
_DTYPE_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
# What says something of the source's own files: where they came from, their hashes, the run at that step.
_NOT_COPIED = {"config.json", "fetched.json", "sha256.json", "state.json"}
_COPIED = (".json", ".jinja", ".txt", ".model", ".md")
_TERMS = ("LICENSE", "NOTICE")
_TEMPLATES = "additional_chat_templates"


def check_type(name: str | None) -> str | None:
    """Return ggml's name of a type that folders hold; raises ``ConfigError`` for any other."""
    if name is not None and name.upper() not in _DTYPES:
        raise ConfigError(
            f'a Hugging Face folder cannot hold "{name}"; the types are {", ".join(_DTYPES).lower()}. '
            "A GGUF can: name the target OUT.gguf"
        )
    return name.upper() if name is not None else None


def lossless_type(tensors: Mapping[str, StoredTensor]) -> str:
    """Return the smallest type that holds every value as it is stored: one for the whole model, as folders have it."""
    types = {tensor.type for tensor in tensors.values() if len(tensor.shape) > 1}
    small = types.pop() if len(types) == 1 else "F32"
    if small not in _DTYPES:
        return "F32"
    norms = (read_values(tensor) for tensor in tensors.values() if len(tensor.shape) == 1 and tensor.type != small)
    return small if all(_holds(small, values) for values in norms) else "F32"


def write_folder(
    folder: Path,
    stored: StoredModel,
    config: ModelConfig,
    tensors: Mapping[str, ConvertedTensor],
    on_tensor: Callable[[], None],
) -> None:
    """Write a model folder, whole or not at all, a tensor at a time.

    Args:
        folder: where there is nothing yet, or an empty folder.
        stored: where the tokenizer and the other small files come from.
        config: the sizes it is to have.
        tensors: by name; all are to be of one type.
        on_tensor: called after each.

    Raises:
        DataError: a tensor's values do not fit the type.
        StorageError: the disk is full, or may not be written to.
    """
    types = {name: tensor.type for name, tensor in tensors.items()}
    kinds = {name: (_DTYPES[types[name]], tensor.shape) for name, tensor in tensors.items()}

    def read(name: str) -> np.ndarray:
        dtype, shape = kinds[name]
        array = tensors[name].read().view(dtype).reshape(shape)
        on_tensor()
        return array

    with new_folder(folder) as unfinished:
        safetensors.save_by_turns(unfinished / "model.safetensors", kinds, read, {"format": "pt"})
        dtype_name = _DTYPE_NAMES[types["model.embed_tokens.weight"]]
        if not (stored.path / "config.json").is_file():  # a GGUF file, or an adapter
            _write_small_files(unfinished, stored, config, dtype_name)
        else:
            _copy_small_files(unfinished, stored.path, config, dtype_name)


def _write_small_files(folder: Path, stored: StoredModel, config: ModelConfig, dtype_name: str) -> None:
    tokenizer = stored.load_tokenizer()
    rules = stored.load_text_rules(tokenizer)
    write_small_files(folder, config, tokenizer, dtype=dtype_name, add_bos_token=bool(rules.prefix_ids))


def _copy_small_files(folder: Path, source: Path, config: ModelConfig, dtype_name: str) -> None:
    for path in sorted(source.iterdir()):
        if path.is_file() and _is_copied(path):
            shutil.copyfile(path, folder / path.name)
    for path in sorted((source / _TEMPLATES).glob("*.jinja")):
        (folder / _TEMPLATES).mkdir(exist_ok=True)
        shutil.copyfile(path, folder / _TEMPLATES / path.name)
    before = read_json(source / "config.json")
    # No size, so ModelConfig does not know it, and training batches need it.
    padding = {name: before[name] for name in ("pad_token_id",) if before.get(name) is not None}
    write_file(folder / "config.json", to_json(config.to_hf(dtype_name) | padding))


def _is_copied(path: Path) -> bool:
    if path.name in _NOT_COPIED or path.name.endswith(".index.json"):
        return False
    return path.suffix in _COPIED or path.name.startswith(_TERMS)


def _holds(type_name: str, values: np.ndarray) -> bool:
    if type_name == "F32":
        return True
    with np.errstate(over="ignore"):
        return np.array_equal(dequantize(type_name, quantize(type_name, values), values.shape), values)
