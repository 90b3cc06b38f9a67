"""A model as it lies on the disk, before any weight is read: what every way to run it starts from.

One door for Hugging Face folders and GGUF files: sizes, tensors by their Hugging Face names in the types of the file,
the tokenizer, and how texts begin and end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from textmill.checkpoint.text_rules import TextRules
from textmill.model.config import ModelConfig

if TYPE_CHECKING:
    from textmill.tokenizer.tokenizer import Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """A tensor in the bytes of its file.

    Attributes:
        type: how its values are stored, by ggml's name: F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K, Q6_K.
        shape: as Hugging Face has it, [out, in] for matrices.
        data: uint8[num_bytes], mapped from the file, row after row.
        row_order: int64[out] where the file keeps the rows in another order: row i is the file's row
            ``row_order[i]``. GGUF interleaves what RoPE turns, Hugging Face keeps halves.
    """

    type: str
    shape: tuple[int, ...]
    data: np.ndarray
    row_order: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StoredModel:
    """A model's parts; the tensors stay on the disk until they are touched.

    Attributes:
        path: the folder or file.
        config: its sizes.
        tensors: exactly those that ``config.tensor_shapes()`` names.
        load_tokenizer: reads the tokenizer.
        load_text_rules: reads how texts begin and end.
    """

    path: Path
    config: ModelConfig
    tensors: Mapping[str, StoredTensor]
    load_tokenizer: Callable[[], Tokenizer]
    load_text_rules: Callable[[Tokenizer], TextRules]


def open_model(path: Path, *, headers_only: bool = False) -> StoredModel:
    """Open a Hugging Face folder, a ``*.gguf`` file, or an adapter's folder, reading and checking its headers.

    An adapter is opened as the model that it is for, with the adapter merged in (``adapter_model``).

    With ``headers_only`` no weight is read, not even where a tied head is stored and must equal its table.

    Raises:
        DataError: something is missing, damaged, or asks for what cannot be reproduced exactly.
    """
    if path.suffix == ".gguf" and not path.is_dir():
        from textmill.checkpoint.gguf_model import open_gguf

        return open_gguf(path)
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        from textmill.checkpoint.adapter_model import open_adapter

        return open_adapter(path, headers_only=headers_only)
    from textmill.checkpoint.huggingface_model import open_folder

    return open_folder(path, headers_only=headers_only)
