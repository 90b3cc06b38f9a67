import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.families import LINEAR, LLAMA3, YARN, configs
from textmill.base.errors import ConfigError
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling, rope_frequencies


@pytest.mark.peer
@settings(deadline=None)
@given(configs(scaling=LINEAR | LLAMA3 | YARN))
def test_frequencies_and_factor_are_those_of_transformers(config):
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    peer = AutoConfig.for_model(**config.to_hf())
    expected, expected_factor = ROPE_INIT_FUNCTIONS[peer.rope_parameters["rope_type"]](peer, "cpu")
    frequencies, factor = rope_frequencies(config)
    assert frequencies.dtype == np.float32
    # They compute in f32. A rounded exponent puts the power of a base of 1e7 off by 5e-7 of itself, and with it the
    # place on llama3's ramp, where 8 waves count over a width of 2, by 2e-6 of what the plain frequency is.
    plain, _ = rope_frequencies(dataclasses.replace(config, rope_scaling=None))
    assert (np.abs(frequencies - expected.numpy()) < 4e-6 * plain).all()
    assert factor == pytest.approx(expected_factor, rel=1e-12)


@given(configs(scaling=st.none()))
def test_plain_frequencies_are_powers_of_the_base(config):
    frequencies, factor = rope_frequencies(config)
    by_hand = [config.rope_theta ** (-2 * pair / config.head_dim) for pair in range(config.head_dim // 2)]
    np.testing.assert_allclose(frequencies, by_hand, rtol=2**-24)
    assert factor == 1.0


@given(configs(scaling=LINEAR | LLAMA3 | YARN))
def test_scaling_slows_every_pair_by_up_to_its_factor(config):
    plain, _ = rope_frequencies(dataclasses.replace(config, rope_scaling=None))
    scaled, _ = rope_frequencies(config)
    assert (scaled <= plain * (1 + 1e-6)).all()
    assert (scaled >= plain / config.rope_scaling.factor * (1 - 1e-6)).all()


def test_llama_3_1(small_config):
    """By hand: 8,192 tokens hold 4 waves of 2,048 and 1 of 8,192 tokens, and what lies between is on the ramp."""
    scaling = Llama3Scaling(
        factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192
    )
    config = small_config(head_dim=128, rope_theta=500_000.0, rope_scaling=scaling)
    plain = 500_000.0 ** (-np.arange(0, 128, 2) / 128)
    waves = 2 * math.pi / plain
    frequencies, _ = rope_frequencies(config)
    np.testing.assert_allclose(frequencies[waves < 2048], plain[waves < 2048], rtol=1e-7)
    np.testing.assert_allclose(frequencies[waves > 8192], plain[waves > 8192] / 8, rtol=1e-7)
    ramp = (waves > 2048) & (waves < 8192)
    assert ramp.sum() == 6
    assert ((frequencies < plain) & (frequencies > plain / 8))[ramp].all()


@pytest.mark.parametrize(
    ("kind", "values", "named"),
    [
        (LinearScaling, {"factor": 0.5}, "factor is 0.5"),
        (LinearScaling, {"factor": float("nan")}, "factor is nan"),
        (LinearScaling, {"factor": "2"}, "must be a number"),
        (Llama3Scaling, {"low_freq_factor": 4.0}, "less than high_freq_factor"),
        (Llama3Scaling, {"low_freq_factor": 0.0}, "low_freq_factor is 0"),
        (Llama3Scaling, {"original_max_position_embeddings": 0}, "original_max_position_embeddings is 0"),
        (YarnScaling, {"original_max_position_embeddings": 8192.0}, "whole number"),
        (YarnScaling, {"beta_fast": 0.5}, "beta_slow is 1, and must not be more than beta_fast"),
        (YarnScaling, {"beta_slow": 0.0}, "beta_slow is 0"),
        (YarnScaling, {"attention_factor": -1.0}, "attention_factor is -1"),
        (YarnScaling, {"truncate": None}, "truncate is None"),
    ],
)
def test_says_what_is_allowed(kind, values, named):
    whole = {"factor": 8.0}
    if kind is not LinearScaling:
        whole["original_max_position_embeddings"] = 8192
    if kind is Llama3Scaling:
        whole |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    with pytest.raises(ConfigError, match=named):
        kind(**(whole | values))


def test_yarn_needs_a_base(small_config):
    with pytest.raises(ConfigError, match="rope_theta is 1"):
        small_config(rope_theta=1.0, rope_scaling=YarnScaling(factor=2.0, original_max_position_embeddings=64))
