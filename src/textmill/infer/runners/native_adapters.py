"""Adapters (LoRA) that share a model's weights in the native engine: what it takes of them, and their memory."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError
from textmill.checkpoint.adapter_files import (
    CONFIG,
    Factors,
    check_shapes,
    check_values,
    fingerprint_of,
    read_config,
    read_factors,
)
from textmill.checkpoint.stored_model import StoredModel
from textmill.infer.runners.native_weights import layer_and_part

_MATRICES = frozenset(
    {
        *("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj"),
        *("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"),
    }
)
_PANEL_ROWS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """What is added to a model's matrices: ``scale * B A`` each.

    Attributes:
        folder: where it was read.
        scale: what their products are multiplied by.
        factors: by the names of the matrices.
    """

    folder: Path
    scale: float
    factors: Mapping[str, Factors]

    @property
    def num_bytes(self) -> int:
        """Bytes that it takes in the engine."""
        return factor_bytes(self.factors)


def read_adapters(folders: Mapping[str, Path], base: StoredModel, *, headers_only: bool = False) -> list[Adapter]:
    """Read adapters that are to share a base's weights, in the order of their names.

    Args:
        folders: in PEFT's format, by the names that callers give them.
        base: the model that they change. A folder has to be the one that they were learned with, where they say so; a
            GGUF may hold its values rounded, and has to have its shapes.
        headers_only: compare no values.

    Raises:
        DataError: a folder is no adapter, is damaged, is for another base, or changes what the engine has no such
            products for; named.
    """
    values_sha256 = functools.cache(lambda: fingerprint_of(base)["values_sha256"])
    adapters = []
    for folder in folders.values():
        if not (folder / CONFIG).is_file():
            raise DataError(
                f"{folder} holds no {CONFIG}: it is no adapter in PEFT's format. A whole model goes in the place of a "
                "model"
            )
        config = read_config(folder)
        factors = read_factors(folder, config)
        check_shapes(folder, config, factors, base)
        for name, pair in factors.items():
            layer, part = layer_and_part(name)
            if layer is None or part not in _MATRICES or pair.copy is not None:
                raise DataError(
                    f"{folder} changes {name}, which texts of one batch have to share. Serve it merged into its base, "
                    "as a model of its own: give its folder in the place of a model"
                )
        if base.path.is_dir() and not headers_only:
            check_values(folder, config, base, values_sha256)
        adapters.append(Adapter(folder=folder, scale=config.scale, factors=factors))
    return adapters


def set_adapter(core: _core.Inference, adapter: Adapter) -> int:
    """Hand an adapter to the core; the number that chunks name it by. Raises ``DataError`` for what is not finite."""
    number = core.add_adapter()
    for name, pair in adapter.factors.items():
        layer, part = layer_and_part(name)
        assert layer is not None, "only matrices of layers are taken"
        try:
            core.set_factors(number, layer, part, _aligned(pair.a), _aligned(pair.b), adapter.scale)
        except ValueError as error:
            raise DataError(f"{adapter.folder}: the factors of {name}: {error}. Copy or train it again") from error
    return number


def _aligned(factor: NDArray[np.float32]) -> NDArray[np.float32]:
    """A factor as the core reads it; one that lies in a file may begin at any byte."""
    return np.require(factor, np.float32, ["C", "A"])


def factor_bytes(factors: Mapping[str, Factors]) -> int:
    """Bytes that factors take in the engine: float32, in panels of 16 rows."""
    shapes = [factor.shape for pair in factors.values() for factor in (pair.a, pair.b)]
    return sum(4 * -(-num_rows // _PANEL_ROWS) * _PANEL_ROWS * num_cols for num_rows, num_cols in shapes)
