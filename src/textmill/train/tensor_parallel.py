"""Ranks share each block's matrices: every one has some heads and a part of the feed-forward, and reads the same rows.

Blocks add to the stream what the ranks' parts come to together: one sum over ranks after ``o_proj`` and one after
``down_proj``, forward, and one before each of their norms, backward (arXiv:1909.08053 §3). Table, head and norms are on
every rank.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard

from textmill.base.errors import ConfigError
from textmill.model.attention import KVCache
from textmill.model.config import ModelConfig
from textmill.model.llama import Block, Llama
from textmill.model.rope import Rotation
from textmill.model.segments import Segments
from textmill.train.placed import Place, PlacedLayout
from textmill.train.ranks import Ranks

_ROWS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
_COLUMNS = ("o_proj", "down_proj", "value_embeddings")


class SplitLayout(PlacedLayout):
    """Tensor parallelism over ``size`` ranks that stand next to each other; the rows of a batch go to the groups.

    Args:
        config: the whole model's sizes.
        ranks: all that train together.
        size: how many ranks share a model.

    Raises:
        ConfigError: heads, feed-forward or ranks cannot be shared out so, or the model has biases behind a sum.
    """

    def __init__(self, config: ModelConfig, ranks: Ranks, *, size: int) -> None:
        self.name = f"tp={size}"
        part = _part_of(config, size, ranks.size)
        mesh = init_device_mesh(ranks.device.type, (ranks.size // size, size), mesh_dim_names=("data", "tensor"))
        holders = Ranks(mesh["tensor"].get_local_rank(), size, ranks.device, mesh["tensor"].get_group())
        with ranks.device:
            model = Llama(part)
            blocks = (SplitBlock(part, layer, holders) for layer in range(part.num_hidden_layers))
            model.model.layers = nn.ModuleList(blocks)
        shapes = config.tensor_shapes()
        places = {
            name: Place(mesh["tensor"], (_placement(name),), tuple(shapes[name]))
            for name, _ in model.named_parameters()
        }
        super().__init__(model, ranks, places, dict(model.named_parameters()), holders)
        self.readers = Ranks(mesh["data"].get_local_rank(), ranks.size // size, ranks.device, mesh["data"].get_group())

    def finish_gradients(self) -> None:
        """A block's norms feed heads and the part of a feed-forward that a rank has: what they get is added up."""
        inner = [leaf.grad for name, leaf in self.leaves.items() if ".layers." in name and not self.places[name].is_cut]
        self.holders.sum_gradients([gradient for gradient in inner if gradient is not None])
        super().finish_gradients()

    def set_rope(self, config: ModelConfig) -> None:
        """Of the whole model's sizes."""
        self.model.set_rope(_part_of(config, self.holders.size, self.ranks.size))


class SplitBlock(Block):
    """A rank's part of a block."""

    def __init__(self, config: ModelConfig, layer: int, holders: Ranks) -> None:
        super().__init__(config, layer)
        self.holders = holders

    def attended(
        self,
        x_BTD: torch.Tensor,
        ids_BT: torch.Tensor,
        by: Rotation,
        segments: Segments,
        cache: KVCache | None,
        *,
        keeps_all: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The stream, and what all ranks' heads add to it."""
        branch_BTD = _SumBackward.apply(x_BTD, self.holders)
        _, o_BTD = super().attended(branch_BTD, ids_BT, by, segments, cache, keeps_all=keeps_all)
        return x_BTD, _SumForward.apply(o_BTD, self.holders)

    def fed(
        self, x_BTD: torch.Tensor, added_BTD: torch.Tensor | None, *, keeps_all: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The stream with what was added, and what all ranks' parts of the feed-forward add."""
        x_BTD = x_BTD if added_BTD is None else x_BTD + added_BTD
        _, down_BTD = super().fed(_SumBackward.apply(x_BTD, self.holders), None, keeps_all=keeps_all)
        return x_BTD, _SumForward.apply(down_BTD, self.holders)


class _SumForward(torch.autograd.Function):
    """What all ranks' parts come to; every rank has the same gradient of it already."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, holders: Ranks) -> torch.Tensor:
        return holders.sum(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        return gradient, None


class _SumBackward(torch.autograd.Function):
    """The same on every rank, which makes something else of it: gradients come together."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, holders: Ranks) -> torch.Tensor:
        ctx.holders = holders
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        return ctx.holders.sum(gradient.clone(memory_format=torch.contiguous_format)), None


def _placement(name: str) -> Shard | Replicate:
    if any(f".{layer}." in name for layer in _ROWS):
        return Shard(0)
    return Shard(1) if any(f".{layer}." in name for layer in _COLUMNS) else Replicate()


def _part_of(config: ModelConfig, size: int, num_ranks: int) -> ModelConfig:
    """The sizes of a rank's part."""
    if size < 1 or num_ranks % size:
        raise ConfigError(f"--mesh tp={size}: {num_ranks} ranks cannot be shared out by {size}; take a divisor")
    for name in ("num_attention_heads", "num_key_value_heads", "intermediate_size"):
        count = getattr(config, name)
        if count % size:
            raise ConfigError(
                f"--mesh tp={size}: {name} is {count}, and cannot be shared out by {size}; take a divisor, or fsdp"
            )
    if config.o_bias or config.mlp_bias:
        raise ConfigError(f"--mesh tp={size}: the model has biases after o_proj or down_proj; take --mesh fsdp")
    return dataclasses.replace(
        config,
        num_attention_heads=config.num_attention_heads // size,
        num_key_value_heads=config.num_key_value_heads // size,
        intermediate_size=config.intermediate_size // size,
    )
