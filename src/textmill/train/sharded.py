"""Every rank holds a part of each tensor, and gathers those of a block while the block computes: torch's FSDP2.

With HSDP the parts are spread over some ranks, and the rest do the same with other rows: parts are gathered within a
machine, and only gradients go between machines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.model.llama import Llama
from textmill.train.placed import Place, PlacedLayout
from textmill.train.ranks import Ranks


class ShardedLayout(PlacedLayout):
    """FSDP2, and HSDP where the shards are fewer than the ranks.

    Args:
        config: the model's sizes.
        ranks: all that train together.
        num_shards: how many ranks share a copy of the model; all unless given.
        dtype: of activations. Blocks gather their weights in it, since they multiply in it; table and head, whose
            gradient is a sum of many chunks, are gathered in f32.

    Raises:
        ConfigError: the ranks cannot be shared out so.
    """

    def __init__(
        self, config: ModelConfig, ranks: Ranks, *, num_shards: int | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        self.name = "fsdp" if num_shards is None else f"hsdp={num_shards}"
        size = ranks.size if num_shards is None else num_shards
        if size < 1 or ranks.size % size:
            raise ConfigError(f"--mesh {self.name}: {ranks.size} ranks cannot be shared out by {size}; take a divisor")
        kind = ranks.device.type
        if num_shards is None:
            mesh = init_device_mesh(kind, (size,), mesh_dim_names=("shard",))
        else:
            mesh = init_device_mesh(kind, (ranks.size // size, size), mesh_dim_names=("replicate", "shard"))
        with torch.device("meta"):
            model = Llama(config)
        shard = mesh["shard"] if mesh.ndim > 1 else mesh
        holders = Ranks(shard.get_local_rank(), size, ranks.device, shard.get_group())
        super().__init__(model, ranks, {}, {}, holders)
        gathered = torch.bfloat16 if dtype == torch.bfloat16 else None
        # Angles of RoPE go in, which bf16 would ruin.
        blocks = MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=_wide(gathered), cast_forward_inputs=False)
        for block in model.model.layers:
            fully_shard(block, mesh=mesh, mp_policy=blocks)
        fully_shard(self.nats, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))
        for module in self._modules():
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
        self.nats.to_empty(device=ranks.device)
        for name, parameter in model.named_parameters():
            assert isinstance(parameter, DTensor)
            self.places[name] = Place(parameter.device_mesh, parameter.placements, tuple(parameter.shape))
            self.leaves[name] = nn.Parameter(parameter.to_local().detach())

    @contextlib.contextmanager
    def micro_batch(self, *, is_last: bool) -> Iterator[None]:  # type: ignore[override]
        """Parts are added up after each micro-batch, so that no rank holds a whole gradient; copies after the last."""
        for module in self._modules():
            module.set_requires_all_reduce(is_last)
        with self.ranks.watched():
            yield

    @contextlib.contextmanager
    def read(self) -> Iterator[Llama | None]:
        """Blocks gather their weights as they run; table, last norm and head, which are the root's, stay meanwhile.

        A step has to have been taken before: FSDP takes what is run first for the root.
        """
        root = self.nats
        assert isinstance(root, FSDPModule)
        with super().read() as model:
            root.unshard()
            try:
                yield model
            finally:
                # It parts them again, and forgets the order of these blocks, which no backward follows.
                root.reset_iter_state()

    def finish_gradients(self) -> None:
        """They were sent; what is left is to hand them on."""
        for name, parameter in self.model.named_parameters():
            gradient = parameter.grad
            assert gradient is None or isinstance(gradient, DTensor)
            self.leaves[name].grad = None if gradient is None else gradient.to_local()
            parameter.grad = None

    def _modules(self) -> Iterator[FSDPModule]:
        return (module for module in self.nats.modules() if isinstance(module, FSDPModule))


def _wide(gathered: torch.dtype | None) -> torch.dtype | None:
    return None if gathered is None else torch.float32
