"""How a model lies on the ranks that train it: here each has all of it, and gradients are added up.

Other layouts are a ``Layout`` too: ``sharded`` (FSDP2), ``tensor_parallel`` and ``overlapped`` (torch's DDP). Whoever
trains sees plain tensors, of which a rank may hold parts: it steps them, copies them, writes them. ``whole`` and
``part`` lead from one to the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

from textmill.checkpoint.tensors import as_torch, check_shapes
from textmill.model.config import ModelConfig
from textmill.model.llama import Llama, first_values
from textmill.model.loss import summed_nats
from textmill.model.remat import Remat
from textmill.train.ranks import ALONE, Ranks


class BatchNats(nn.Module):
    """From ids to the sum of nats in one call, which is what FSDP and DDP watch."""

    def __init__(self, llama: Llama) -> None:
        super().__init__()
        self.llama = llama

    def forward(
        self,
        inputs_BT: torch.Tensor,
        targets_BT: torch.Tensor,
        *,
        dtype: torch.dtype,
        positions_BT: torch.Tensor | None = None,
        segments_BT: torch.Tensor | None = None,
        remat: Remat = "none",
        z_loss: float = 0.0,
    ) -> torch.Tensor:
        """Sum of ``-log p(target)``, f64; see ``Llama.backbone`` and ``summed_nats``."""
        x_BTD = self.llama.backbone(
            inputs_BT, dtype=dtype, positions_BT=positions_BT, segments_BT=segments_BT, remat=remat
        )
        return summed_nats(self.llama, x_BTD, targets_BT, z_loss)


class Layout:
    """Every rank has the whole model; gradients of all ranks are added up in one piece.

    Attributes:
        name: as ``--mesh`` says it.
        model: what this rank has of the model.
        ranks: all that train together.
        readers: those among whom the rows of a batch are shared out; ranks that share a model's matrices read the same.
        nats: the model with its loss.
        has_parts: whether ranks hold parts of tensors.
    """

    name = "ddp"
    has_parts = False

    def __init__(self, model: Llama, ranks: Ranks = ALONE) -> None:
        self.model = model
        self.ranks = ranks
        self.readers = ranks
        self.nats: nn.Module = BatchNats(model)

    @property
    def device(self) -> torch.device:
        """What the model lies on."""
        return next(iter(self.model.parameters())).device

    def named_parameters(self) -> Iterator[tuple[str, torch.Tensor]]:
        """What this rank steps, by Hugging Face's names: leaves whose ``grad`` is there after ``finish_gradients``.

        Frozen parameters are not among them.
        """
        return ((name, leaf) for name, leaf in self.model.named_parameters() if leaf.requires_grad)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a whole parameter."""
        return tuple(self.model.get_parameter(name).shape)

    def micro_batch(self, *, is_last: bool) -> contextlib.AbstractContextManager[None]:
        """A micro-batch goes through and back; after the last one gradients may be sent."""
        return contextlib.nullcontext()

    def finish_gradients(self) -> None:
        """Bring the gradient of all ranks' rows to what this rank steps."""
        self.readers.sum_gradients([p.grad for _, p in self.named_parameters() if p.grad is not None])

    def clip(self, max_norm: float) -> float:
        """Scale the gradient down to a norm, that of the whole model; returns the norm that it had."""
        return nn.utils.clip_grad_norm_([p for _, p in self.named_parameters()], max_norm).item()

    def drop_gradients(self) -> None:
        """Forget the gradient: the step is not taken."""
        for parameter in (*self.model.parameters(), *(p for _, p in self.named_parameters())):
            parameter.grad = None

    def whole(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """Put a tensor that lies as the parameter ``name`` does together; all ranks have to ask."""
        return part

    def part(self, name: str, whole: torch.Tensor) -> torch.Tensor:
        """What this rank holds of a tensor that is laid out as the parameter ``name``."""
        return whole

    def spread(self, name: str, part: torch.Tensor) -> torch.Tensor:
        """The same tensor as torch's checkpoints know it, with its place among the ranks."""
        return part

    def set_rope(self, config: ModelConfig) -> None:
        """As ``Llama.set_rope`` does."""
        self.model.set_rope(config)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Fill what this rank holds, a tensor at a time; the model is the same in every layout."""
        for name, parameter in self.named_parameters():
            parameter.copy_(self.part(name, first_values(self.model.config, name, self.shape_of(name), seed)))

    @torch.no_grad()
    def fill(self, tensors: Mapping[str, np.ndarray | torch.Tensor], where: str = "the checkpoint") -> None:
        """Take this rank's parts of whole tensors.

        Raises:
            DataError: for a missing, unexpected or differently shaped tensor; the model is untouched then.
        """
        names = [name for name, _ in self.named_parameters()]
        found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        check_shapes({name: self.shape_of(name) for name in names}, found, where)
        for name, parameter in self.named_parameters():
            tensor = tensors[name]
            whole = as_torch(tensor) if isinstance(tensor, np.ndarray) else tensor.detach()
            parameter.copy_(self.part(name, whole))

    @torch.no_grad()
    def fill_parts(self, parts: Mapping[str, torch.Tensor]) -> None:
        """Take tensors that lie as this rank's do."""
        for name, parameter in self.named_parameters():
            parameter.copy_(parts[name])

    @contextlib.contextmanager
    def read(self) -> Iterator[Llama | None]:
        """The model for a while, to be run forward without gradients; nothing of it may be changed.

        Where ranks hold parts all have to ask, and to run the same through it: what they lack comes as it is needed.
        Else it is the first rank's alone, and None on others.
        """
        yield self.model if self.ranks.is_first else None

    def gathered(self) -> dict[str, torch.Tensor] | None:
        """The whole model's tensors, on the first rank; None on others. All ranks have to ask.

        Where ranks hold parts they come into the host's memory one after the other, so that no device holds more than
        one of them whole; else they are the model's own.
        """
        if not self.has_parts:
            return self.model.state_dict() if self.ranks.is_first else None
        whole = {}
        for name, part in self.named_parameters():
            tensor = self.whole(name, part.detach())
            if self.ranks.is_first:
                whole[name] = tensor.cpu()
        return whole if self.ranks.is_first else None
