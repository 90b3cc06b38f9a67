"""What GGUF lists of Llama 3's scaling leads back to its parameters."""

import dataclasses

import numpy as np
import pytest

from textmill.checkpoint.gguf_rope import llama3_scaling, rope_divisors
from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import Llama3Scaling


@pytest.mark.parametrize("factor", [1.001, 1.0078125, 1.03, 8.0])
@pytest.mark.parametrize(("low", "high", "original"), [(0.5, 4.0, 4), (1.0, 4.0, 40), (1.7, 7.3, 300)])
def test_divisors_lead_back_to_the_scaling(factor, low, high, original):
    scaling = Llama3Scaling(
        factor=factor, low_freq_factor=low, high_freq_factor=high, original_max_position_embeddings=original
    )
    config = ModelConfig(
        vocab_size=8,
        hidden_size=16,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=16,
        rope_theta=100.0,
        rope_scaling=scaling,
    )
    divisors = rope_divisors(config)
    found = llama3_scaling(divisors, head_dim=16, theta=100.0, original=original)
    again = rope_divisors(dataclasses.replace(config, rope_scaling=found))
    np.testing.assert_allclose(again, divisors, rtol=1e-5)
