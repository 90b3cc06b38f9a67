"""The processes that train one model together, each on its rows of every batch; started by ``torchrun``.

Gradients are summed in one piece, and each rank has been divided by the targets of the whole batch before: no average
is asked of the backend, which gloo got wrong (pytorch/pytorch#162338).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from textmill.base.errors import TextmillError

# The others wait while the first one makes the corpus. One that dies is noticed by its connection, at once.
_TIMEOUT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0

    def sum_count(self, count: int) -> int:
        """Add up whole numbers of all ranks."""
        return count if self.size == 1 else int(self._sum(torch.tensor([count], dtype=torch.int64)).item())

    def sum_loss(self, loss: float) -> float:
        """Add up losses of all ranks."""
        return loss if self.size == 1 else float(self._sum(torch.tensor([loss], dtype=torch.float64)).item())

    def sum_gradients(self, model: torch.nn.Module) -> None:
        """Add up gradients of all ranks, in place."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        flat = self._sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, here: bool) -> bool:
        """Say whether it is so on any rank."""
        return self.sum_count(int(here)) > 0

    def wait(self) -> None:
        """Wait for all ranks to come here."""
        self.sum_count(0)

    def _sum(self, tensor: torch.Tensor) -> torch.Tensor:
        try:
            distributed.all_reduce(tensor)
        except RuntimeError as error:
            raise TextmillError(
                f"rank {self.rank} of {self.size} lost another: {error}. The last checkpoint is whole; start all ranks "
                "again with --resume"
            ) from error
        return tensor


ALONE = Ranks()


def is_first_rank() -> bool:
    """Whether this process is alone or the first of those that ``torchrun`` started, before they are joined."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def joined_ranks(timeout: timedelta = _TIMEOUT) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; alone where it did not."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    distributed.init_process_group("gloo", timeout=timeout)
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
