"""A model with an adapter merged into it, as a stored model: matrices are merged when they are read, in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.checkpoint.adapter_files import (
    CONFIG,
    AdapterConfig,
    Factors,
    check_base,
    is_adapter,
    merged,
    name_in,
    read_config,
    read_factors,
)
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.stored_model import StoredModel, StoredTensor, open_model

_DEPTH_MAX = 8


def open_adapter(folder: Path, *, headers_only: bool = False, depth: int = 0) -> StoredModel:
    """Open the model that an adapter is for, with the adapter merged into it.

    All its tensors are float32, so that it is the model that a merged folder in float32 holds, whatever the base is
    stored in.

    Args:
        folder: holds ``adapter_config.json``, whose base is a path (from the adapter's folder or the working one) or
            what else names a model.
        headers_only: read no weight.
        depth: adapters that are for this one.

    Raises:
        DataError: a file is missing or damaged, the base is not there, or is another model.
    """
    config = read_config(folder)
    if depth >= _DEPTH_MAX:
        raise DataError(f"{folder} is the {depth}th adapter on top of others; is it its own base? Look at {CONFIG}")
    factors = read_factors(folder, config, merges=True)
    path = base_of(folder, config)
    if is_adapter(path):
        base = open_adapter(path, headers_only=headers_only, depth=depth + 1)
    else:
        base = open_model(path, headers_only=headers_only)
    if not headers_only:
        check_base(folder, config, factors, base)
    return StoredModel(
        path=folder,
        config=base.config.with_head_of(factors),
        tensors=MergedTensors(base.tensors, factors, config.scale),
        load_tokenizer=base.load_tokenizer,
        load_text_rules=base.load_text_rules,
    )


def base_of(folder: Path, config: AdapterConfig) -> Path:
    """Find the model that an adapter is for; raises ``DataError`` where it is not there."""
    from textmill.checkpoint.sources import resolve_model

    beside = folder / config.base
    try:
        return resolve_model(beside if beside.exists() else config.base)
    except DataError as error:
        raise DataError(
            f"{folder} is an adapter for a model that is not here: {error}. Or say where it is, as "
            f"base_model_name_or_path in {folder / CONFIG}"
        ) from error


class MergedTensors(Mapping[str, StoredTensor]):
    """The tensors of a base in float32, with the adapter's product added; made anew whenever one is asked for.

    Where the base's head is tied and the adapter changes it, the table stays as it is, and the head is one of its own.

    Args:
        tensors: of the base.
        factors: of the adapter, by the names of matrices.
        scale: what their product is multiplied by.
    """

    def __init__(self, tensors: Mapping[str, StoredTensor], factors: Mapping[str, Factors], scale: float) -> None:
        self._tensors, self._factors, self._scale = tensors, factors, scale

    def read(self, name: str) -> NDArray[np.float32]:
        """Return the values of a tensor; no second copy of them is made on the way."""
        values = np.ascontiguousarray(read_values(self._tensors[name_in(self._tensors, name)]))
        return merged(values, self._factors[name], self._scale, out=values) if name in self._factors else values

    def __getitem__(self, name: str) -> StoredTensor:
        values = self.read(name)
        return StoredTensor(type="F32", shape=values.shape, data=values.reshape(-1).view(np.uint8))

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._tensors, *self._factors)))

    def __len__(self) -> int:
        return len(dict.fromkeys((*self._tensors, *self._factors)))
