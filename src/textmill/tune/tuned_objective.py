"""What every objective of tuning has: the model that it begins from, and what is learned of that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from textmill.model.llama import Llama
from textmill.train.objective import Adapters
from textmill.train.trainer import Trainer
from textmill.tune.base_model import BaseModel
from textmill.tune.lora import LoraAdapters


class TunedObjective:
    """The part of ``train.objective.Objective`` that does not depend on what is learned from.

    Args:
        base: the model that tuning begins from.
        adapters: what is learned in the place of the weights, if not these.
    """

    def __init__(self, base: BaseModel, adapters: LoraAdapters | None) -> None:
        self.tokenizer = base.tokenizer
        self.small_files = base.small_files
        self.adapters: Adapters | None = adapters
        self._base, self._lora = base, adapters

    def first_weights(self) -> Mapping[str, NDArray[Any]]:
        """Those of the model that tuning begins from."""
        return self._base.weights()

    @contextmanager
    def first_model(self, trainer: Trainer) -> Iterator[Llama]:
        """The model that tuning began from, to ask in a ``with`` block, without a gradient.

        It is the one that learns, with its adapters lifted off or before its first step; else another in memory.
        """
        if self._lora is not None:
            with self._lora.lifted(trainer.model):
                yield trainer.model
        elif trainer.step == 0:
            yield trainer.model
        else:
            yield self._base.llama().to(trainer.layout.device)
