"""Keys and values on a device, in the blocks that the engine lends: its block b is page b."""

from __future__ import annotations

import torch

from textmill.model.config import ModelConfig


class Pages:
    """Keys and values of all layers, each [layers, pages, block_size, K, Q]; token i of page b has the place
    ``b * block_size + i``.

    Two pages more than there are blocks: ``spare_block``, which rows that only fill a batch up write to, and one of
    zeros that nothing writes to.

    Attributes:
        spare_block: the page for what nobody reads.
        zero_place: a place whose key and value are zero for ever. Places that a text does not have read it, for what
            another text left there may not be finite, and a weight of zero times infinity is not zero.
    """

    def __init__(
        self, config: ModelConfig, *, num_blocks: int, block_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.num_hidden_layers, num_blocks + 2, block_size, config.num_key_value_heads, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.keys[:, -1] = self.values[:, -1] = 0.0
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.spare_block = num_blocks
        self.zero_place = (num_blocks + 1) * block_size

    @property
    def dtype(self) -> torch.dtype:
        """What keys and values are kept in."""
        return self.keys.dtype

    def write(self, layer: int, places_T: torch.Tensor, k_TKQ: torch.Tensor, v_TKQ: torch.Tensor) -> None:
        """Store one layer's new keys and values at int64 places."""
        self.keys[layer].flatten(0, 1).index_copy_(0, places_T, k_TKQ.to(self.dtype))
        self.values[layer].flatten(0, 1).index_copy_(0, places_T, v_TKQ.to(self.dtype))

    def copy(self, source: int, target: int) -> None:
        """Make all layers' keys and values of a page those of another."""
        self.keys[:, target] = self.keys[:, source]
        self.values[:, target] = self.values[:, source]

    def read(self, layer: int, places: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values at places of any shape, each [*places, K, Q] in ``dtype``."""
        keys, values = self.keys[layer].flatten(0, 1), self.values[layer].flatten(0, 1)
        return keys[places].to(dtype), values[places].to(dtype)
