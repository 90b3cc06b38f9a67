"""Models of known sizes with random weights, which take no download; speed does not depend on the values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from textmill.checkpoint.stored_model import StoredModel, StoredTensor
from textmill.model.config import ModelConfig
from textmill.model.presets import preset

# So wide that tokens attend to some of the others much more than to the rest.
_DEVIATION = 0.04
_NUM_RANDOM = 1 << 25


def config_of(name: str, *, small: bool) -> ModelConfig:
    """A preset's sizes; with ``small`` those of a model that any machine runs at once."""
    if not small:
        return preset(name)
    return ModelConfig(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    )


def random_model(config: ModelConfig) -> StoredModel:
    """A model in bf16 whose tensors are cut from one run of random numbers, the same again where that is too short."""
    shapes = config.tensor_shapes()
    largest = max(int(np.prod(shape)) for shape in shapes.values())
    generator = torch.Generator().manual_seed(1)
    numbers = torch.empty(min(largest, _NUM_RANDOM)).normal_(0.0, _DEVIATION, generator=generator).bfloat16()
    data = np.resize(numbers.view(torch.uint8).numpy(), 2 * largest + 2 * len(shapes))
    ones = torch.ones(config.hidden_size + config.head_dim, dtype=torch.bfloat16).view(torch.uint8).numpy()
    tensors = {}
    for index, (name, shape) in enumerate(shapes.items()):
        first, size = 2 * index, 2 * int(np.prod(shape))
        stored = ones[:size] if "norm" in name else data[first : first + size]
        tensors[name] = StoredTensor(type="BF16", shape=shape, data=stored)

    def nothing(*_: object) -> None:
        raise AssertionError("a random model has no tokenizer")

    return StoredModel(
        path=Path("random"), config=config, tensors=tensors, load_tokenizer=nothing, load_text_rules=nothing
    )


def blocks_of(text: int, num_tokens: int, block_size: int) -> list[int]:
    """The blocks of one of several texts of up to ``num_tokens`` each, which lie side by side."""
    count = -(-num_tokens // block_size)
    return list(range(text * count, (text + 1) * count))
