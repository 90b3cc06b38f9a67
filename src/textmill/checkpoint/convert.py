"""A model from one format into another: Hugging Face folders and GGUF files, in other types, with fewer KV heads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from textmill.base import gguf_writer
from textmill.base.errors import ConfigError
from textmill.base.gguf_blocks import WRITABLE
from textmill.base.gguf_writer import TensorToWrite
from textmill.checkpoint import folder_export, gguf_export
from textmill.checkpoint.converted_tensor import ConvertedTensor
from textmill.checkpoint.gguf_names import ARCHITECTURES, ROPE_FACTORS, file_order, gguf_name, row_order
from textmill.checkpoint.gguf_rope import rope_divisors
from textmill.checkpoint.key_value_heads import is_of_key_value_heads, with_key_value_heads
from textmill.checkpoint.stored_model import StoredModel, open_model
from textmill.model.config import ModelConfig
from textmill.model.family import NOT_EXPORTED, OWN

Progress = Callable[[int, str], object]


def convert(
    source: Path,
    target: Path,
    *,
    type: str | None = None,
    num_key_value_heads: int | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Write a model in another format, whole or not at all. Tensors go through memory one at a time.

    A GGUF keeps norms and biases in F32, matrices whose rows blocks do not fill in F16, and the tables of a q4_0 model
    in Q8_0. Heads that were pooled are F16 where their type cannot be written. What is asked for in no
    type stays as it is stored, blocks byte for byte; a folder made of a quantised GGUF is f32, which holds it exactly.

    Args:
        source: a Hugging Face folder or a ``*.gguf``.
        target: a ``*.gguf``, or a folder; nothing may be there but a GGUF, or an empty folder.
        type: of matrices: f32, f16, bf16 and, in a GGUF, q8_0 and q4_0.
        num_key_value_heads: pool the key-value heads into so many (``key_value_heads``).
        progress: called with the number of tensors written, and a text that says how many there are.

    Returns:
        Sentences for the user: what was stored otherwise than asked for, what llama.cpp does otherwise.

    Raises:
        ConfigError: the target is taken, or cannot hold what is asked for; the model is textmill's own.
        DataError: the source is damaged, or its values do not fit the type.
        StorageError: the disk is full, or may not be written to.
    """
    is_gguf = target.suffix == ".gguf"
    wanted = (gguf_export if is_gguf else folder_export).check_type(type)
    check_target(source, target)
    stored = open_model(source)
    config = stored.config
    if config.model_type == OWN:
        raise ConfigError(f"{source} cannot be converted: {NOT_EXPORTED}")
    if num_key_value_heads is not None:
        config = with_key_value_heads(config, num_key_value_heads)
    write = _to_gguf if is_gguf else _to_folder
    return write(stored, config, target, wanted, progress or (lambda done, note: None))


def check_target(source: Path, target: Path) -> None:
    """Raise ``ConfigError`` where writing the target would lose something that is no older conversion."""
    if target.resolve() == source.resolve():
        raise ConfigError(f"{target} is the model itself; choose another name for what it is converted into")
    if target.suffix == ".gguf":
        if target.is_dir() or (target.exists() and not _begins_like_gguf(target)):
            raise ConfigError(f"{target} is there already, and is no GGUF file; choose another name")
        return
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(
            f"{target} is there already{' and is not empty' if target.is_dir() else ''}; choose another folder. "
            "A name that ends in .gguf makes a GGUF file"
        )


def _begins_like_gguf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _to_gguf(
    stored: StoredModel, config: ModelConfig, target: Path, wanted: str | None, progress: Progress
) -> list[str]:
    tensors = _converted(stored, config, wanted, is_gguf=True)
    values, notes = gguf_export.gguf_values(stored, config, {name: tensor.type for name, tensor in tensors.items()})
    count_one = _counter(progress, len(tensors))

    def reader(tensor: ConvertedTensor) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            data = tensor.read()
            count_one()
            return data

        return read

    to_write = [
        TensorToWrite(gguf_name(name), tensor.type, tensor.shape, reader(tensor)) for name, tensor in tensors.items()
    ]
    divisors = rope_divisors(config)
    if divisors is not None:
        to_write.append(TensorToWrite(ROPE_FACTORS, "F32", divisors.shape, lambda: divisors))
    gguf_writer.save(target, values, to_write)
    return notes + list(_notes_of_types(tensors, wanted))


def _notes_of_types(tensors: Mapping[str, ConvertedTensor], wanted: str | None) -> Iterator[str]:
    """Which matrices are in another type than asked for, or than they were in where nothing was asked for."""
    kinds = {name: tensor.type for name, tensor in tensors.items() if len(tensor.shape) > 1}
    half = [name for name, kind in kinds.items() if kind == "F16" and wanted != "F16"]
    if wanted is None:
        half = [name for name in half if tensors[name].stored.type != "F16"]
        if half:
            yield (
                f"{len(half)} matrices of pooled heads are f16, such as {half[0]}: they were "
                f"{tensors[half[0]].stored.type.lower()}, and new values are written as {', '.join(WRITABLE).lower()}. "
                "--type names one for all matrices"
            )
        return
    if half:
        yield (
            f"{len(half)} matrices whose rows blocks of {wanted.lower()} do not fill are f16, such as {half[0]} "
            f"with rows of {tensors[half[0]].shape[-1]}"
        )
    tables = [name for name, kind in kinds.items() if wanted == "Q4_0" and kind == "Q8_0"]
    if tables:
        yield (
            f"{' and '.join(tables)} {'are' if len(tables) > 1 else 'is'} q8_0: every token passes through a table, "
            "and four bits would lose much"
        )


def _counter(progress: Progress, total: int) -> Callable[[], None]:
    done = itertools.count(1)

    def count_one() -> None:
        number = next(done)
        progress(number, f"{number} of {total} tensors")

    return count_one


def _to_folder(
    stored: StoredModel, config: ModelConfig, target: Path, wanted: str | None, progress: Progress
) -> list[str]:
    tensors = _converted(stored, config, wanted or folder_export.lossless_type(stored.tensors), is_gguf=False)
    folder_export.write_folder(target, stored, config, tensors, _counter(progress, len(tensors)))
    return []


def _converted(
    stored: StoredModel, config: ModelConfig, wanted: str | None, *, is_gguf: bool
) -> dict[str, ConvertedTensor]:
    """What each tensor becomes, by Hugging Face's name, in the order of the forward pass."""
    is_pooled = config.num_key_value_heads != stored.config.num_key_value_heads
    tensors = {}
    for name, tensor in stored.tensors.items():
        pools = is_pooled and is_of_key_value_heads(name)
        order = row_order(name, config, ARCHITECTURES[config.model_type]) if is_gguf else None
        type_name = gguf_export.stored_type(name, tensor, wanted, is_changed=pools) if is_gguf else str(wanted)
        tensors[name] = ConvertedTensor(
            name=name,
            stored=tensor,
            type=type_name,
            num_heads=config.num_key_value_heads if pools else 0,
            head_dim=config.head_dim,
            file_order=None if order is None else file_order(order),
        )
    return tensors
