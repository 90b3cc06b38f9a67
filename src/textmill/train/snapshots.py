"""Copies of a run's state in memory, to go back to. A state is a pure function of its step, so they change nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from textmill.train.optim import Optimizers


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that a step of training changes, after ``step`` steps."""

    step: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    watch: dict[str, Any]


class Snapshots:
    """Keeps the state at multiples of ``every`` steps: the last one, and the one before.

    Args:
        every: steps from one to the next.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._kept: deque[Snapshot] = deque(maxlen=2)

    def target(self, step: int, start: int) -> int:
        """The step that a jump at ``step`` goes back to: ``every`` steps at least, twice as many at most."""
        return max(start, (step // self._every - 1) * self._every)

    def keep(
        self,
        step: int,
        named_parameters: Iterable[tuple[str, torch.Tensor]],
        optimizers: Optimizers,
        watch: dict[str, Any],
    ) -> None:
        """Copy the state where its step is one to be kept, into the memory of the oldest copy, which is the host's."""
        if step % self._every or any(snapshot.step == step for snapshot in self._kept):
            return
        old = self._kept.popleft() if len(self._kept) == self._kept.maxlen else None
        self._kept.append(
            Snapshot(
                step,
                _copied(dict(named_parameters), old.model if old else {}),
                _copied(optimizers.state_tensors(), old.optimizer if old else {}),
                watch,
            )
        )

    def clear(self) -> None:
        """Keep none of them."""
        self._kept.clear()

    def find(self, step: int) -> Snapshot | None:
        """The state after ``step`` steps, where it is kept; later ones are dropped, being of a way that is left."""
        while self._kept and self._kept[-1].step > step:
            self._kept.pop()
        return self._kept[-1] if self._kept and self._kept[-1].step == step else None


def _copied(tensors: dict[str, torch.Tensor], into: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {
            name: into[name].copy_(tensor) if name in into else tensor.detach().to("cpu", copy=True)
            for name, tensor in tensors.items()
        }
