"""What a run learns from, where that is not the next token of its shards: ``tune`` brings such, and wires them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from textmill.data.stages import SkippedSteps
from textmill.tokenizer.tokenizer import Tokenizer

if TYPE_CHECKING:
    import torch

    from textmill.model.llama import Llama
    from textmill.train.trainer import Trainer


class Rows(Protocol):
    """A batch of any kind: what is known of it is how many rows it has."""

    @property
    def inputs(self) -> NDArray[np.int64]:
        """int64[rows, tokens]."""
        ...


class Adapters(Protocol):
    """What a run learns where it learns adapters, and the model itself is frozen."""

    def adapt(self, model: Llama, dtype: torch.dtype) -> None:
        """Fill a model with frozen weights, in the type of products, and add parameters that are learned, empty."""
        ...

    def first_weights(self) -> Mapping[str, torch.Tensor | NDArray[Any]]:
        """What is learned, as the run begins with it, by the names of parameters."""
        ...

    def begin_step(self, step: int) -> None:
        """The gradient of a step comes next."""
        ...

    def merged(self, model: Llama) -> Mapping[str, NDArray[Any]]:
        """The whole model's weights by Hugging Face's names, with what was learned merged in."""
        ...

    def write_small_files(self, folder: Path) -> None:
        """Write what a checkpoint holds beside tensors and state."""
        ...

    def save(self, folder: Path, model: Llama) -> None:
        """Write what was learned by itself, whole or not at all."""
        ...


class Objective(Protocol):
    """What a run is taught, and what it begins from. It keeps nothing between steps that could not be made again.

    Attributes:
        tokenizer: the model's, with its chat template.
        adapters: what is learned in the place of the model's own weights; None where these are.
    """

    tokenizer: Tokenizer
    adapters: Adapters | None

    @property
    def small_files(self) -> Mapping[str, Any]:
        """What ``write_small_files`` is told beside sizes and tokenizer."""
        ...

    def first_weights(self) -> Mapping[str, torch.Tensor | NDArray[Any]]:
        """The weights that the run begins with, by Hugging Face's names."""
        ...

    def begin(self, trainer: Trainer) -> None:
        """The trainer has the weights that the run begins with or goes on from; no step was taken yet."""
        ...

    def batch(self, trainer: Trainer, step: int) -> Rows:
        """Make this rank's batch of a data step, counted from 0, with the model as it is."""
        ...

    def accumulate(self, trainer: Trainer, batch: Any, micro_rows: int) -> tuple[float, dict[str, float]]:
        """Add the gradient of a batch's loss to the parameters.

        Returns:
            the loss, and what else is told of the step; both the same on every rank.
        """
        ...

    def scores(self, trainer: Trainer) -> Mapping[str, float]:
        """Score the model as it is on what is held out, by names; nothing where nothing is. It changes nothing."""
        ...

    def documents(self, step: int) -> Sequence[str]:
        """Name what the batch of a data step is made of, as ``file:line``."""
        ...


class ObjectiveLoader:
    """Stands where a run's loader stands: which data steps are passed over, and what they are made of."""

    def __init__(self, objective: Objective, skip_steps: Sequence[tuple[int, int]]) -> None:
        self._objective = objective
        self.skipped = SkippedSteps(tuple(skip_steps))

    def documents(self, step: int) -> Sequence[str]:
        """Name what the batch of a step of training is made of."""
        return self._objective.documents(self.skipped.data_step(step))
