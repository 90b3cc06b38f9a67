"""The processes that train one model together, each on its rows of every batch; started by ``torchrun``.

Whatever is added up over ranks is summed and never averaged: each rank has been divided by the targets of the whole
batch before, and gloo got averages wrong (pytorch/pytorch#162338).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from textmill.base.errors import StoppedError, TextmillError

# The others wait while the first one makes the corpus. One that dies is noticed by its connection, at once.
_TIMEOUT = timedelta(days=1)
# NCCL does not notice a machine that is gone. Within a step nobody waits longer for anybody.
_TIMEOUT_BETWEEN_GPUS = timedelta(minutes=10)
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together, or among some of them.

    Attributes:
        rank: its number, from 0.
        size: how many there are.
        device: what this process computes on.
        group: those that are meant; None for all.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = CPU
    group: distributed.ProcessGroup | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes logs and checkpoints."""
        return self.rank == 0

    def sum_count(self, count: int) -> int:
        """Add up whole numbers of all ranks."""
        return count if self.size == 1 else int(self.sum(torch.tensor([count], dtype=torch.int64)).item())

    def sum_loss(self, loss: float) -> float:
        """Add up losses of all ranks."""
        return loss if self.size == 1 else float(self.sum(torch.tensor([loss], dtype=torch.float64)).item())

    def sum_gradients(self, gradients: Sequence[torch.Tensor]) -> None:
        """Add up gradients of all ranks, in place and in one piece."""
        if self.size == 1 or not gradients:
            return
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, here: bool) -> bool:
        """Say whether it is so on any rank."""
        return self.sum_count(int(here)) > 0

    def wait(self) -> None:
        """Wait for all ranks to come here."""
        self.sum_count(0)

    def tell_all(self, text: str) -> str:
        """What the first rank says, on every rank."""
        if self.size == 1:
            return text
        said: list[str | None] = [text]
        with self.watched():
            distributed.broadcast_object_list(said, group=self.group, group_src=0, device=CPU)
        assert said[0] is not None
        return said[0]

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Add up tensors of all ranks, in place."""
        if self.size > 1:
            with self.watched():
                distributed.all_reduce(tensor, group=self.group)
        return tensor

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Say so where another rank is lost, whatever the library says of a message that did not come.

        Raises:
            TextmillError: another rank is gone.
        """
        try:
            yield
        except RuntimeError as error:
            if self.size == 1 or not _is_of_a_connection(error):
                raise
            raise TextmillError(
                f"rank {self.rank} of {self.size} lost another: {error}. The last checkpoint is whole; start all ranks "
                "again with --resume"
            ) from error


ALONE = Ranks()


def is_first_rank() -> bool:
    """Whether this process is alone or the first of those that ``torchrun`` started, before they are joined."""
    return int(os.environ.get("RANK", "0")) == 0


def own_device() -> torch.device:
    """The CUDA device of this process, by its number on its machine; the CPU where there is none."""
    if not torch.cuda.is_available():
        return CPU
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


@contextmanager
def joined_ranks(timeout: timedelta = _TIMEOUT) -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; alone where it did not.

    Where an error ends this one its groups end with the process: to end them before takes the others, where it is NCCL
    (pytorch/torchtitan#1342), and they wait for this one, whose message nobody would see.

    Raises:
        TextmillError: they did not come, or left meanwhile.
    """
    device = own_device()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(device=device)
        return
    try:
        group = _join(device, timeout)
    except RuntimeError as error:
        raise TextmillError(
            f"rank {os.environ.get('RANK')} of {os.environ['WORLD_SIZE']} did not meet the others: {error}. Start all "
            "ranks again"
        ) from error
    try:
        yield Ranks(distributed.get_rank(), distributed.get_world_size(), device, group)
    except StoppedError:  # all stop after the same step
        distributed.destroy_process_group()
        raise
    distributed.destroy_process_group()


def _join(device: torch.device, timeout: timedelta) -> distributed.ProcessGroup | None:
    """Meet the others; returns the group in which they may wait for long, where it is not that of all."""
    if device.type == "cpu":
        distributed.init_process_group("gloo", timeout=timeout)
        return None
    # Counts and checkpoints go between CPUs wherever gradients do, and long waits are there.
    distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=_TIMEOUT_BETWEEN_GPUS)
    group = distributed.new_group(backend="gloo", timeout=timeout)
    assert isinstance(group, distributed.ProcessGroup)
    return group


def _is_of_a_connection(error: RuntimeError) -> bool:
    """Whether a collective operation failed: gloo has no error of its own for that."""
    return isinstance(error, distributed.DistError) or any(
        word in str(error) for word in ("gloo", "onnection", "NCCL", "Timed out")
    )
