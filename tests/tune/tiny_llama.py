"""A model of some thousand parameters, in memory."""

from textmill.model.config import ModelConfig
from textmill.model.llama import Llama


def tiny_llama(vocab_size=40, seed=1, **sizes):
    config = ModelConfig(
        **{
            "vocab_size": vocab_size,
            "hidden_size": 16,
            "intermediate_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "max_position_embeddings": 128,
            "initializer_range": 0.3,
        }
        | sizes
    )
    return Llama(config).init_weights(seed, residual="scaled")
