"""Low-rank adapters of a model in training: a run's weights are theirs alone (LoRA, arXiv:2106.09685).

The first factor begins uniform in ``1 / sqrt(inputs)``, as PEFT's does, and the second at 0: a new adapter changes
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from textmill.base.errors import ConfigError, did_you_mean
from textmill.base.files import new_folder
from textmill.checkpoint.adapter_files import (
    AdapterConfig,
    Factors,
    names_of,
    write_adapter,
    write_config,
)
from textmill.checkpoint.adapter_model import MergedTensors
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.tensors import as_numpy, as_torch
from textmill.data.permutation import hash_key
from textmill.model.activation_bytes import AdapterSizes
from textmill.model.adapted import Adapter, KeyedDropout
from textmill.model.config import HEAD, ModelConfig
from textmill.model.linear import Linear
from textmill.model.llama import Llama
from textmill.tune.base_model import BaseModel

_HEAD = HEAD.removesuffix(".weight")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraSettings:
    """What ``[tune]`` says of adapters.

    Attributes:
        rank: of every adapter.
        alpha: an adapter's product is multiplied by ``alpha / rank``.
        dropout: the share of what goes into adapters that is dropped.
        targets: names of linear layers, whole or what they end with.
        dora: whether magnitudes of rows are learned, too (arXiv:2402.09353).
    """

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    dora: bool = False


class LoraAdapters:
    """What a run learns where it learns adapters; see ``train.objective.Adapters``.

    Args:
        base: the model, which stays as it is.
        settings: of the adapters.
        seed: of the run.
        named: what their files call the base; as it is called itself unless given.

    Raises:
        ConfigError: a target is no linear layer of the model, or is the head, whose magnitudes are not learned.
    """

    def __init__(self, base: BaseModel, settings: LoraSettings, seed: int, *, named: str | None = None) -> None:
        self._base, self._settings, self._seed = base, settings, seed
        self._layers = _layers_of(base, settings.targets)
        self._dropout = KeyedDropout(settings.dropout, seed)
        self._config = AdapterConfig(
            base=named or base.reference,
            rank=settings.rank,
            alpha=settings.alpha,
            targets=settings.targets,
            dropout=settings.dropout,
            dora=settings.dora,
        )
        if settings.dora and _HEAD in self._layers:
            raise ConfigError(
                "tune.targets names lm_head, and tune.dora is true: magnitudes of the head are not learned, whose "
                "logits are never all there at once; leave one of them out"
            )

    @property
    def sizes(self) -> AdapterSizes:
        """What they add to the model."""
        settings = self._settings
        return AdapterSizes.of(
            self._base.config, self._layers, rank=settings.rank, drops=settings.dropout > 0, dora=settings.dora
        )

    @property
    def merged_config(self) -> ModelConfig:
        """Sizes of the model that they are merged into: a tied head that they change is one of its own there."""
        return self._base.config.with_head_of([f"{name}.weight" for name in self._layers])

    @torch.no_grad()
    def adapt(self, model: Llama, dtype: torch.dtype) -> None:
        """Fill a model with the base, frozen, its matrices in the type of products; add adapters, still empty."""
        device = model.head_weight.device
        if _HEAD in self._layers:
            model.head_layer()
        for name, parameter in model.named_parameters():
            values = as_torch(np.ascontiguousarray(read_values(self._base.stored.tensors[name])))
            parameter.requires_grad_(False)
            parameter.data = values.to(device, dtype if values.ndim == 2 else torch.float32)
        for name in self._layers:
            layer = model.get_submodule(name)
            assert isinstance(layer, Linear)
            num_out, num_in = layer.weight.shape
            layer.adapter = Adapter(
                num_in,
                num_out,
                rank=self._settings.rank,
                scale=self._config.scale,
                dropout=self._dropout,
                name=name,
                dora=self._settings.dora,
            ).to(device)
        self._dropout.watch(model.model)

    def first_weights(self) -> Mapping[str, torch.Tensor]:
        """The factors that a run begins with, by the names of the model's parameters."""
        first = {}
        for name in self._layers:
            num_out, num_in = self._shape_of(name)
            generator = torch.Generator().manual_seed(hash_key("lora", self._seed, name) >> 1)
            bound = 1 / math.sqrt(num_in)
            first[f"{name}.adapter.lora_A.weight"] = torch.empty(self._settings.rank, num_in).uniform_(
                -bound, bound, generator=generator
            )
            first[f"{name}.adapter.lora_B.weight"] = torch.zeros(num_out, self._settings.rank)
            if self._settings.dora:
                values = np.asarray(read_values(self._base.stored.tensors[f"{name}.weight"]), np.float64)
                norms = np.linalg.norm(values, axis=1).astype(np.float32)
                first[f"{name}.adapter.lora_magnitude_vector"] = torch.from_numpy(norms)
        return first

    def begin_step(self, step: int) -> None:
        """The gradient of a step comes next."""
        self._dropout.begin_step(step)

    def merged(self, model: Llama) -> dict[str, np.ndarray]:
        """The base's weights, as they are stored, with the adapters of a model merged in; float32, by their names."""
        whole = MergedTensors(self._base.stored.tensors, dict(self._factors(model)), self._config.scale)
        return {name: whole.read(name) for name in whole}

    @contextmanager
    def lifted(self, model: Llama) -> Iterator[None]:
        """Let a model be the base alone in a ``with`` block."""
        layers = [layer for name in self._layers if isinstance(layer := model.get_submodule(name), Linear)]
        adapters = [layer.adapter for layer in layers]
        for layer in layers:
            layer.adapter = None
        try:
            yield
        finally:
            for layer, adapter in zip(layers, adapters, strict=True):
                layer.adapter = adapter

    def write_small_files(self, folder: Path) -> None:
        """Write what makes a checkpoint an adapter that can be opened."""
        write_config(folder, self._config, self._base.fingerprint)

    def save(self, folder: Path, model: Llama) -> None:
        """Write the adapters of a model in PEFT's format, whole or not at all."""
        with new_folder(folder) as unfinished:
            write_adapter(unfinished, self._config, dict(self._factors(model)), self._base.fingerprint)

    def _shape_of(self, name: str) -> tuple[int, ...]:
        """The matrix of a layer, [O, I]."""
        return self.merged_config.tensor_shapes()[f"{name}.weight"]

    def _factors(self, model: Llama) -> Iterator[tuple[str, Factors]]:
        for name in self._layers:
            adapter = model.get_submodule(name).adapter
            assert isinstance(adapter, Adapter)
            magnitude = adapter.lora_magnitude_vector
            yield (
                f"{name}.weight",
                Factors(
                    as_numpy(adapter.lora_A.weight),
                    as_numpy(adapter.lora_B.weight),
                    None if magnitude is None else as_numpy(magnitude),
                ),
            )


def _layers_of(base: BaseModel, targets: tuple[str, ...]) -> list[str]:
    matrices = [
        name.removesuffix(".weight")
        for name, shape in base.config.tensor_shapes().items()
        if len(shape) == 2 and ".layers." in name and name.endswith("_proj.weight")
    ]
    matrices.append(_HEAD)
    for target in targets:
        if not names_of([target], matrices):
            known = list(dict.fromkeys(name.rpartition(".")[2] for name in matrices))
            raise ConfigError(
                f'tune.targets names "{target}", which is no linear layer of {base.stored.path}'
                f"{did_you_mean(target, known)} There are {', '.join(known)}"
            )
    return names_of(targets, matrices)
