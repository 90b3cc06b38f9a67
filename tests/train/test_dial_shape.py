"""Shapes of models by their number of parameters, against the models of the papers and the sizes' own count."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.train.dial.shape import TOLERANCE, find_shape, smallest_shape

SIZES = st.floats(6, 11).map(lambda exponent: 10**exponent)
VOCABULARIES = st.integers(2, 260_000)


@settings(max_examples=300, deadline=None)
@given(SIZES, VOCABULARIES)
def test_a_shape_comes_within_a_tenth_of_what_is_asked_for(num_parameters, vocab_size):
    smallest = smallest_shape(vocab_size, {}).num_parameters
    if smallest > 1.1 * num_parameters:
        with pytest.raises(ConfigError, match="of them for the tokens; ask for that many"):
            find_shape(num_parameters, vocab_size)
        return
    shape = find_shape(num_parameters, vocab_size)
    config = ModelConfig(vocab_size=vocab_size, **shape.sizes())
    assert config.num_parameters == shape.num_parameters == pytest.approx(num_parameters, rel=TOLERANCE)
    assert config.hidden_size % 64 == config.intermediate_size % 64 == 0
    assert config.num_attention_heads * config.head_dim == config.hidden_size
    assert config.head_dim in (64, 128)
    assert 1 <= config.queries_per_key_value_head <= 4


@settings(max_examples=200, deadline=None)
@given(SIZES, VOCABULARIES, st.booleans())
def test_parts_count_among_what_is_asked_for(num_parameters, vocab_size, qk_norm):
    """Tables of values come with every second layer: the depth makes up for them, by whole tables."""
    parts = {"qk_norm": qk_norm, "value_embeddings": True}
    if smallest_shape(vocab_size, {}, **parts).num_parameters > num_parameters:
        return
    try:
        shape = find_shape(num_parameters, vocab_size, **parts)
    except ConfigError:
        return
    config = ModelConfig(vocab_size=vocab_size, model_type="textmill", **parts, **shape.sizes())
    assert config.num_parameters == shape.num_parameters == pytest.approx(num_parameters, rel=TOLERANCE)


@settings(max_examples=100, deadline=None)
@given(SIZES, VOCABULARIES)
def test_a_shape_is_a_function_of_its_arguments(num_parameters, vocab_size):
    if smallest_shape(vocab_size, {}).num_parameters <= num_parameters:
        assert find_shape(num_parameters, vocab_size) == find_shape(num_parameters, vocab_size, {})


@settings(max_examples=100, deadline=None)
@given(st.floats(7, 11).map(lambda exponent: 10**exponent))
def test_where_tokens_take_little_the_width_is_about_64_times_the_depth(num_parameters):
    shape = find_shape(num_parameters, 1000)
    assert 32 <= shape.hidden_size / shape.num_hidden_layers <= 128


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(300, 20_000), st.data())
def test_what_is_given_stays_and_the_others_follow(num_parameters, vocab_size, data):
    choices = {
        "hidden_size": st.sampled_from([128, 144, 512, 576, 2048, 4096]),
        "num_hidden_layers": st.integers(1, 80),
        "num_attention_heads": st.sampled_from([1, 2, 3, 9, 16, 32]),
        "num_key_value_heads": st.sampled_from([1, 2, 4]),
        "head_dim": st.sampled_from([16, 32, 64, 128]),
        "intermediate_size": st.sampled_from([256, 1000, 8192]),
        "tie_word_embeddings": st.booleans(),
    }
    names = data.draw(st.sets(st.sampled_from(sorted(choices)), max_size=3))
    kept = {name: data.draw(choices[name]) for name in sorted(names)}
    if {"hidden_size", "num_hidden_layers"} <= kept.keys():
        del kept["num_hidden_layers"]
    try:
        shape = find_shape(num_parameters, vocab_size, kept)
    except ConfigError:
        return
    assert {name: getattr(shape, name) for name in kept} == kept
    assert shape.num_parameters == pytest.approx(num_parameters, rel=0.5)


@pytest.mark.parametrize(
    ("num_parameters", "vocab_size", "width", "depth"),
    [
        # 10.5 x 512² x 9 and a table of 8192 x 512 are 29M.
        (30e6, 8192, 512, 9),
        # 10.5 x (64 depth)² x depth is 65e9 for 115 layers, and for 80 of 8,192 with LLaMA's full attention.
        (65e9, 32_000, 7360, 115),
    ],
)
def test_shapes_that_are_known(num_parameters, vocab_size, width, depth):
    shape = find_shape(num_parameters, vocab_size)
    assert shape.hidden_size == pytest.approx(width, rel=0.1)
    assert shape.num_hidden_layers == pytest.approx(depth, rel=0.2)


def test_heads_of_published_widths():
    """TinyLlama has 2,048 in heads of 64, LLaMA-7B 4,096 in heads of 128; SmolLM2-135M has 9 heads for 3."""
    by_width = {width: find_shape(1e8 if width < 1000 else 8e9, 1000, {"hidden_size": width}) for width in (576, 4096)}
    assert (by_width[576].num_attention_heads, by_width[576].num_key_value_heads) == (9, 3)
    assert (by_width[4096].num_attention_heads, by_width[4096].num_key_value_heads) == (32, 8)
    assert find_shape(1.1e9, 32_000, {"hidden_size": 2048}).head_dim == 64


@pytest.mark.parametrize(("vocab_size", "tied"), [(1000, False), (49_152, True)])
def test_tables_that_are_much_of_the_model_are_one(vocab_size, tied):
    assert find_shape(135e6, vocab_size).tie_word_embeddings is tied


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads is 0, and must be 1"),
        ({"hidden_size": -64}, "hidden_size is -64"),
        ({"head_dim": 1}, "head_dim is 1"),
        ({"head_dim": 4094}, "no width in steps of 64 suits head_dim = 4094; give model.hidden_size"),
        ({"hidden_size": 8192}, "with 1,000 tokens of vocabulary and hidden_size = 8192 the nearest model has"),
        ({"num_hidden_layers": 1000}, "num_hidden_layers = 1000 the nearest model has .* or change these sizes"),
    ],
)
def test_sizes_that_nothing_comes_near_to_are_refused(sizes, message):
    with pytest.raises(ConfigError, match=message):
        find_shape(3e6, 1000, sizes)


def test_a_vocabulary_too_large_for_the_model_is_named_with_both_numbers():
    with pytest.raises(ConfigError, match=r"params is 1M, and with 100,000 tokens .* has 6\.4\dM parameters, 6\.4M of"):
        find_shape(1e6, 100_000)
