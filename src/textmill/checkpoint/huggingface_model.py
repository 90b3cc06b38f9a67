"""A Hugging Face folder as a stored model; ``huggingface`` reads its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from textmill.base.safetensors import BFLOAT16
from textmill.checkpoint.huggingface import load_config, load_tensors, load_tokenizer
from textmill.checkpoint.named_errors import named_in_errors
from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.checkpoint.text_rules import load_text_rules

TYPE_OF_DTYPE = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16", BFLOAT16: "BF16"}


def open_folder(folder: Path, *, headers_only: bool = False) -> StoredModel:
    """Open a model folder, reading and checking its headers.

    A head that is stored although it is tied is compared with its table, unless ``headers_only``.

    Raises:
        DataError: a file is missing or damaged, or the model asks for what cannot be reproduced exactly.
    """
    with named_in_errors(folder):
        config = load_config(folder)
        arrays = load_tensors(folder, config, headers_only=headers_only)
    tensors = {
        name: StoredTensor(type=TYPE_OF_DTYPE[array.dtype], shape=array.shape, data=array.reshape(-1).view(np.uint8))
        for name, array in arrays.items()
    }
    return StoredModel(
        path=folder,
        config=config,
        tensors=tensors,
        load_tokenizer=lambda: load_tokenizer(folder, config),
        load_text_rules=lambda tokenizer: load_text_rules(folder, config, tokenizer),
    )
