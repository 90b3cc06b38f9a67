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
    merged,
    names_of,
    write_adapter,
    write_config,
)
from textmill.checkpoint.converted_tensor import read_values
from textmill.checkpoint.tensors import as_numpy, as_torch
from textmill.data.permutation import hash_key
from textmill.model.activation_bytes import AdapterSizes
from textmill.model.adapted import Adapter, KeyedDropout
from textmill.model.linear import Linear
from textmill.model.llama import Llama
from textmill.tune.base_model import BaseModel

_HEAD = "lm_head"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraSettings:
    """What ``[tune]`` says of adapters.

    Attributes:
        rank: of every adapter.
        alpha: an adapter's product is multiplied by ``alpha / rank``.
        dropout: the share of what goes into adapters that is dropped.
        targets: names of linear layers, whole or what they end with.
    """

    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]


class LoraAdapters:
    """What a run learns where it learns adapters; see ``train.objective.Adapters``.

    Args:
        base: the model, which stays as it is.
        settings: of the adapters.
        seed: of the run.

    Raises:
        ConfigError: a target is no linear layer of the model.
    """

    def __init__(self, base: BaseModel, settings: LoraSettings, seed: int) -> None:
        self._base, self._settings, self._seed = base, settings, seed
        self._layers = _layers_of(base, settings.targets)
        self._dropout = KeyedDropout(settings.dropout, seed)
        self._config = AdapterConfig(
            base=base.reference,
            rank=settings.rank,
            alpha=settings.alpha,
            targets=settings.targets,
            dropout=settings.dropout,
        )

    @property
    def sizes(self) -> AdapterSizes:
        """What they add to the model."""
        rank, shapes = self._settings.rank, self._base.config.tensor_shapes()
        num_layers = self._base.config.num_hidden_layers
        num_adapters, num_inputs, num_parameters = [0] * num_layers, [0] * num_layers, 0
        for name in self._layers:
            layer = int(name.removeprefix("model.layers.").partition(".")[0])
            num_out, num_in = shapes[f"{name}.weight"]
            num_parameters += rank * (num_out + num_in)
            num_adapters[layer] += 1
            num_inputs[layer] += num_in if self._settings.dropout else 0
        return AdapterSizes(
            num_parameters=num_parameters,
            ranks=tuple(rank * count for count in num_adapters),
            num_masked=tuple(num_inputs),
        )

    @torch.no_grad()
    def adapt(self, model: Llama, dtype: torch.dtype) -> None:
        """Fill a model with the base, frozen, its matrices in the type of products; add adapters, still empty."""
        device = model.head_weight.device
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
            ).to(device)
        self._dropout.watch(model.model)

    def first_weights(self) -> Mapping[str, torch.Tensor]:
        """The factors that a run begins with, by the names of the model's parameters."""
        first = {}
        for name in self._layers:
            num_out, num_in = self._base.stored.tensors[f"{name}.weight"].shape
            generator = torch.Generator().manual_seed(hash_key("lora", self._seed, name) >> 1)
            bound = 1 / math.sqrt(num_in)
            first[f"{name}.adapter.lora_A.weight"] = torch.empty(self._settings.rank, num_in).uniform_(
                -bound, bound, generator=generator
            )
            first[f"{name}.adapter.lora_B.weight"] = torch.zeros(num_out, self._settings.rank)
        return first

    def begin_step(self, step: int) -> None:
        """The gradient of a step comes next."""
        self._dropout.begin_step(step)

    def merged(self, model: Llama) -> dict[str, np.ndarray]:
        """The base's weights, as they are stored, with the adapters of a model merged in; float32, by their names."""
        factors = dict(self._factors(model))
        whole = {}
        for name, stored in self._base.stored.tensors.items():
            values = np.ascontiguousarray(read_values(stored))
            whole[name] = merged(values, factors[name], self._config.scale) if name in factors else values
        return whole

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

    def _factors(self, model: Llama) -> Iterator[tuple[str, Factors]]:
        for name in self._layers:
            adapter = model.get_submodule(name).adapter
            assert isinstance(adapter, Adapter)
            pair = (as_numpy(factor.weight.detach().cpu()) for factor in (adapter.lora_A, adapter.lora_B))
            yield f"{name}.weight", Factors(*pair)


def _layers_of(base: BaseModel, targets: tuple[str, ...]) -> list[str]:
    matrices = [
        name.removesuffix(".weight")
        for name, shape in base.config.tensor_shapes().items()
        if len(shape) == 2 and ".layers." in name and name.endswith("_proj.weight")
    ]
    for target in targets:
        if target == _HEAD:
            raise ConfigError("tune.targets names lm_head, and adapters are for the layers of blocks alone")
        if not names_of([target], matrices):
            known = list(dict.fromkeys(name.rpartition(".")[2] for name in matrices))
            raise ConfigError(
                f'tune.targets names "{target}", which is no linear layer of {base.stored.path}'
                f"{did_you_mean(target, known)} There are {', '.join(known)}"
            )
    return names_of(targets, matrices)
