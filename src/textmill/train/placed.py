"""A layout in which ranks hold parts of tensors: where each lies, and what is asked of all parts together."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, distribute_tensor

from textmill.model.llama import Llama
from textmill.train.layout import Layout
from textmill.train.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of a tensor lie.

    Attributes:
        mesh: the ranks.
        placements: for each dimension of the mesh, along which axis the tensor is cut, or that it is not.
        shape: of the whole.
    """

    mesh: DeviceMesh
    placements: tuple[Placement, ...]
    shape: tuple[int, ...]

    @property
    def is_cut(self) -> bool:
        """Whether no rank holds all of it."""
        return any(placement.is_shard() for placement in self.placements)


class PlacedLayout(Layout):
    """Ranks hold parts.

    Args:
        model: as this rank has it.
        ranks: all that train together.
        places: of each parameter.
        leaves: what this rank steps, by name.
        holders: the ranks whose parts are the whole of a cut tensor.
    """

    has_parts = True

    def __init__(
        self,
        model: Llama,
        ranks: Ranks,
        places: dict[str, Place],
        leaves: dict[str, nn.Parameter],
        holders: Ranks,
    ) -> None:
        super().__init__(model, ranks)
        self.places, self.leaves, self.holders = places, leaves, holders

    @contextlib.contextmanager
    def read(self) -> Iterator[Llama | None]:
        """On every rank."""
        with self.ranks.watched():
            yield self.model

    def named_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Its own leaves."""
        return iter(self.leaves.items())

    def shape_of(self, name: str) -> tuple[int, ...]:
        """By its place."""
        return self.places[name].shape

    @torch.no_grad()
    def clip(self, max_norm: float) -> float:
        """Squares of cut tensors are added up over their parts; what every rank has is counted once."""
        squares = {True: torch.zeros((), dtype=torch.float64), False: torch.zeros((), dtype=torch.float64)}
        gradients = {name: leaf.grad for name, leaf in self.leaves.items() if leaf.grad is not None}
        norms = torch.stack(torch._foreach_norm(list(gradients.values()))).double().cpu()
        for name, norm in zip(gradients, norms, strict=True):
            squares[self.places[name].is_cut] += norm**2
        norm = float((self.holders.sum(squares[True]) + squares[False]).sqrt())
        factor = max_norm / (norm + 1e-6)  # as torch's own clip_grad_norm_ has it
        if not factor >= 1.0:
            torch._foreach_mul_(list(gradients.values()), factor)
        return norm

    def whole(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """On every rank."""
        spread = self.spread(name, part)
        assert isinstance(spread, DTensor)
        with self.ranks.watched():
            return spread.full_tensor()

    def part(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """On the ranks' device; every rank has the whole, so that nothing is sent."""
        place = self.places[name]
        on_device = whole.to(self.device)
        return distribute_tensor(on_device, place.mesh, place.placements, src_data_rank=None).to_local()

    def spread(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """A DTensor that shares the part's memory."""
        place = self.places[name]
        strides = tuple(math.prod(place.shape[axis + 1 :]) for axis in range(len(place.shape)))
        return DTensor.from_local(
            part, place.mesh, place.placements, run_check=False, shape=torch.Size(place.shape), stride=strides
        )
