import pytest
import torch

from model.families import FAMILIES, OWN
from textmill.model.config import ModelConfig

# Multi-head, grouped-query and multi-query attention; head sizes that are no power of two; heads wider and narrower
# than the stream; tied and untied.
SHAPES = {
    "mha": {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8},
    "mha-tied": {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8, "tie_word_embeddings": True},
    "gqa": {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 6},
    "gqa-wide": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 22, "tie_word_embeddings": True},
    "mqa": {"num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 10},
    "one-head": {"num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 2, "num_hidden_layers": 1},
    "deep": {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 16, "num_hidden_layers": 6},
    "other-base": {"num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 12, "rope_theta": 500_000.0},
}


def make_config(**changes):
    sizes = {
        "vocab_size": 101,
        "hidden_size": 48,
        "intermediate_size": 72,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "max_position_embeddings": 96,
        "initializer_range": 0.2,  # large, so that attention is far from uniform
    }
    return ModelConfig(**(sizes | changes))


@pytest.fixture(params=[*SHAPES.values(), *FAMILIES.values(), *OWN.values()], ids=[*SHAPES, *FAMILIES, *OWN])
def config(request):
    return make_config(**request.param)


@pytest.fixture
def small_config():
    return make_config


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Models of these sizes gain nothing from a second thread, and lose much where the cores are busy."""
    torch.set_num_threads(1)
