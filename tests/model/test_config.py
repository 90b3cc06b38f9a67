import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from textmill.base.config import from_table, to_table
from textmill.base.errors import ConfigError, DataError
from textmill.model.config import ModelConfig

SMOLLM2_135M = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 576,
    "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536,
    "is_llama_config": True,
    "max_position_embeddings": 8192,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_interleaved": False,
    "rope_scaling": None,
    "rope_theta": 100000,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "vocab_size": 49152,
}


def test_reads_a_configuration_of_transformers_4():
    config = ModelConfig.from_hf(SMOLLM2_135M)
    assert (config.head_dim, config.rope_theta, config.eos_token_ids) == (64, 100_000, (2,))
    assert config.num_parameters == 134_515_008  # as the model's card says


def test_the_base_of_transformers_5_wins_over_the_older_key():
    table = SMOLLM2_135M | {"rope_parameters": {"rope_type": "default", "rope_theta": 250_000.0}}
    assert ModelConfig.from_hf(table).rope_theta == 250_000.0
    del table["rope_theta"]
    assert ModelConfig.from_hf(table).rope_theta == 250_000.0


def test_several_ends_of_text_are_kept():
    config = ModelConfig.from_hf(SMOLLM2_135M | {"eos_token_id": [2, 7]})
    assert config.eos_token_ids == (2, 7)
    assert config.to_hf()["eos_token_id"] == [2, 7]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "qwen3_moe"}, "model_type"),
        ({"model_type": None}, "model_type"),
        ({"model_type": ["llama"]}, "model_type"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"sliding_window": 4096}, "sliding_window"),
        ({"rope_interleaved": True}, "rope_interleaved"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "llama3"),
        ({"rope_scaling": "yarn"}, "rope_scaling"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "yarn"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "full_attention"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"hidden_size": None}, "hidden_size"),
        ({"vocab_size": "49152"}, "vocab_size"),
        ({"hidden_size": True}, "hidden_size"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers"),
        ({"num_key_value_heads": 2}, "num_key_value_heads"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps"),
        ({"rope_theta": "1e4"}, "rope_theta"),
        ({"eos_token_id": "</s>"}, "eos_token_id"),
        ({"eos_token_id": [2, 49_152]}, "eos_token_id"),
        ({"tie_word_embeddings": 1}, "tie_word_embeddings"),
    ],
)
def test_refuses_by_name_what_it_cannot_reproduce(change, named):
    with pytest.raises(DataError, match=named):
        ModelConfig.from_hf(SMOLLM2_135M | change)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # slow to draw on a busy machine, that is
@given(
    st.dictionaries(
        st.sampled_from([*SMOLLM2_135M, "head_dim", "rope_parameters", "layer_types", "sliding_window"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        ),
    )
)
def test_any_table_is_read_or_refused(changes):
    try:
        config = ModelConfig.from_hf(SMOLLM2_135M | changes)
    except DataError:
        return
    assert ModelConfig.from_hf(json.loads(json.dumps(config.to_hf()))) == config


def test_writes_what_it_reads(config):
    assert ModelConfig.from_hf(json.loads(json.dumps(config.to_hf()))) == config
    assert from_table(ModelConfig, json.loads(json.dumps(to_table(config)))) == config


def test_counts_the_parameters_of_its_tensors(config):
    num_values = 0
    for shape in config.tensor_shapes().values():
        size = 1
        for side in shape:
            size *= side
        num_values += size
    assert config.num_parameters == num_values


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"num_key_value_heads": 3}, "1, 2, 4"),
        ({"head_dim": 7}, "Take 8"),
        ({"hidden_size": 50}, "52"),
        ({"vocab_size": 0}, "1 to 16,777,216"),
        ({"rms_norm_eps": -1.0}, "0 to 1"),
        ({"hidden_size": 48.0}, "whole number"),
        ({"bos_token_id": 101}, "0 to 100"),
        ({"model_type": "gemma"}, "llama, mistral, qwen2, qwen3, smollm3"),
        ({"qkv_bias": True}, "qkv_bias = True and o_bias = False is not possible"),
        ({"qkv_bias": 1}, "true or false"),
        ({"qk_norm": True}, "qk_norm = True is not possible"),
        ({"value_embeddings": True}, "value_embeddings = True is not possible"),
        ({"model_type": "textmill"}, "value_embeddings = False is not possible"),
        ({"model_type": "textmill", "value_embeddings": 1}, "true or false"),
        ({"model_type": "textmill", "value_embeddings": True, "qkv_bias": True}, "qkv_bias = True"),
        ({"model_type": "qwen3"}, "qk_norm = False is not possible"),
        ({"model_type": "qwen2", "qkv_bias": True, "mlp_bias": True}, "mlp_bias = True is not possible"),
        ({"nope_layers": (1,)}, "nope_layers = .1,. is not possible"),
        ({"model_type": "smollm3", "nope_layers": (1, 1)}, "each layer once"),
        ({"model_type": "smollm3", "nope_layers": (3,)}, "0 to 2"),
        ({"model_type": "smollm3", "nope_layers": [1]}, "a tuple of layers"),
        ({"sliding_window": 8}, "sliding_window is 8, and 0 layers slide"),
        ({"sliding_layers": (0,)}, "sliding_window is None, and 1 layers slide"),
        ({"sliding_window": 8, "sliding_layers": (0, 1, 2)}, "window in 3 of 3 layers is not possible"),
        ({"model_type": "mistral", "sliding_window": 8, "sliding_layers": (0,)}, "window in 1 of 3 layers"),
        ({"model_type": "mistral", "sliding_window": 0, "sliding_layers": (0, 1, 2)}, "sliding_window is 0"),
    ],
)
def test_says_what_is_allowed(small_config, changes, fix):
    with pytest.raises(ConfigError, match=fix):
        small_config(**changes)


def test_cannot_be_changed(small_config):
    with pytest.raises(dataclasses.FrozenInstanceError):
        small_config().hidden_size = 1


@pytest.mark.parametrize(("num_layers", "layers"), [(1, [0]), (2, [1]), (3, [0, 2]), (4, [1, 3])])
def test_every_second_layer_embeds_values_and_the_last_one_does(small_config, num_layers, layers):
    config = small_config(model_type="textmill", value_embeddings=True, num_hidden_layers=num_layers)
    assert [layer for layer in range(num_layers) if config.embeds_values(layer)] == layers
    tables = {name: shape for name, shape in config.tensor_shapes().items() if "value_embeddings" in name}
    assert tables == {f"model.layers.{n}.self_attn.value_embeddings.weight": (101, 24) for n in layers}
    assert config.num_value_embedding_parameters == len(layers) * 101 * 24
    assert not any(small_config().embeds_values(layer) for layer in range(3))
