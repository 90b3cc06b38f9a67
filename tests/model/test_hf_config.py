"""config.json, there and back, beside the classes of transformers."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.families import configs
from textmill.base.errors import DataError
from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import rope_frequencies

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
# Without these a file is not whole, or does not say how texts end.
NEEDED = {*SIZES, "model_type", "bos_token_id", "eos_token_id"} - {"num_key_value_heads"}
YARN = {"rope_type": "yarn", "factor": 2.0}


def table_of(model_type, **changes):
    return {**SIZES, "model_type": model_type, **changes}


@settings(deadline=None)
@given(configs(own=True))
def test_what_is_written_is_read(config):
    assert ModelConfig.from_hf(json.loads(json.dumps(config.to_hf()))) == config


@pytest.mark.peer
@settings(deadline=None)
@given(configs())
def test_what_transformers_5_writes_is_read(config):
    from transformers import AutoConfig

    peer = AutoConfig.for_model(**config.to_hf())
    assert ModelConfig.from_hf(json.loads(peer.to_json_string(use_diff=True))) == config
    assert ModelConfig.from_hf(json.loads(peer.to_json_string(use_diff=False))) == config


@pytest.mark.peer
@settings(deadline=None)
@given(configs(), st.data())
def test_absent_keys_mean_what_they_mean_in_transformers(config, data):
    """Any keys are left out: the class fills them in, and what it then writes must read the same."""
    from transformers import AutoConfig

    table = config.to_hf()
    absent = data.draw(st.sets(st.sampled_from(sorted(set(table) - NEEDED))))
    table = {key: value for key, value in table.items() if key not in absent}
    try:
        ours = ModelConfig.from_hf(table)
    except DataError:  # what is left need not fit together: a default of 8 heads, say, with 6 query heads
        return
    written = AutoConfig.for_model(**json.loads(json.dumps(table))).to_dict()
    assert ModelConfig.from_hf(written) == ours


@given(configs(), st.booleans())
def test_configurations_of_transformers_4_are_read(config, older):
    table = config.to_hf()
    del table["rope_parameters"]
    if older and table["rope_scaling"] is not None:
        table["rope_scaling"]["type"] = table["rope_scaling"].pop("rope_type")
    assert ModelConfig.from_hf(table) == config


class TestDefaults:
    """Of each class, by hand."""

    def test_mistral_slides_unless_it_says_no(self):
        config = ModelConfig.from_hf(table_of("mistral"))
        assert (config.sliding_window, config.sliding_layers) == (4096, (0, 1, 2, 3))
        assert config.max_position_embeddings == 131_072
        assert ModelConfig.from_hf(table_of("mistral", sliding_window=None)).sliding_window is None

    @pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
    def test_qwen_slides_where_it_is_told_to(self, model_type):
        assert ModelConfig.from_hf(table_of(model_type, sliding_window=8)).sliding_window is None
        used = table_of(model_type, use_sliding_window=True, max_window_layers=3)
        assert ModelConfig.from_hf(used).sliding_layers == (3,)
        assert ModelConfig.from_hf(used).sliding_window == 4096
        assert ModelConfig.from_hf(used | {"sliding_window": None}).sliding_layers == ()
        assert ModelConfig.from_hf(used | {"max_window_layers": 28}).sliding_window is None
        kinds = ["sliding_attention", "full_attention"] * 2
        assert ModelConfig.from_hf(used | {"layer_types": kinds}).sliding_layers == (0, 2)

    def test_qwen2_has_biases_and_qwen3_norms(self):
        qwen2, qwen3 = ModelConfig.from_hf(table_of("qwen2")), ModelConfig.from_hf(table_of("qwen3"))
        assert (qwen2.qkv_bias, qwen2.o_bias, qwen2.qk_norm, qwen2.head_dim) == (True, False, False, 8)
        assert (qwen3.qkv_bias, qwen3.o_bias, qwen3.qk_norm, qwen3.head_dim) == (False, False, True, 128)

    def test_every_fourth_layer_of_smollm3_is_not_rotated(self):
        config = ModelConfig.from_hf(table_of("smollm3"))
        assert (config.nope_layers, config.rope_theta, config.tie_word_embeddings) == ((3,), 2e6, True)
        assert ModelConfig.from_hf(table_of("smollm3", no_rope_layer_interval=2)).nope_layers == (1, 3)
        assert ModelConfig.from_hf(table_of("smollm3", no_rope_layers=[0, 1, 1, 0, 0])).nope_layers == (0, 3)
        sliding = table_of("smollm3", use_sliding_window=True, sliding_window=8)
        assert ModelConfig.from_hf(sliding).sliding_layers == (3,)

    def test_absent_and_null_heads_differ(self):
        table = table_of("mistral", num_attention_heads=16, head_dim=2)
        assert ModelConfig.from_hf(table | {"num_key_value_heads": None}).num_key_value_heads == 16
        del table["num_key_value_heads"]
        assert ModelConfig.from_hf(table).num_key_value_heads == 8

    def test_yarn_of_qwen(self):
        rope = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768}
        scaling = ModelConfig.from_hf(table_of("qwen2", rope_scaling=rope)).rope_scaling
        assert (scaling.factor, scaling.beta_fast, scaling.beta_slow, scaling.truncate) == (4.0, 32.0, 1.0, True)
        by_ratio = table_of("qwen2", rope_scaling=rope | {"factor": None, "beta_fast": 0})
        assert ModelConfig.from_hf(by_ratio | {"max_position_embeddings": 131_072}).rope_scaling == scaling

    @pytest.mark.parametrize("finetuned", [True, False])
    def test_whether_it_was_trained_so_changes_nothing(self, finetuned):
        """Yarn-Llama-2's config.json says so beside the keys of YaRN."""
        said = table_of("llama", rope_scaling=YARN | {"finetuned": finetuned})
        assert ModelConfig.from_hf(said) == ModelConfig.from_hf(table_of("llama", rope_scaling=YARN))

    @pytest.mark.peer
    @pytest.mark.parametrize("key", ["truncate", "attention_factor", "beta_fast", "beta_slow", "mscale", "factor"])
    @pytest.mark.parametrize("value", [None, 0], ids=str)
    def test_null_and_0_in_yarn(self, key, value):
        from transformers import AutoConfig
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        rope = YARN | {"original_max_position_embeddings": 24, "mscale_all_dim": 0.7, "mscale": 0.9, key: value}
        table = table_of("llama", head_dim=32, max_position_embeddings=96, rope_scaling=rope)
        if value == 0 and key in ("truncate", "factor"):
            with pytest.raises(DataError, match=f"{key} is 0"):
                ModelConfig.from_hf(table)
            return
        frequencies, factor = rope_frequencies(ModelConfig.from_hf(table))
        expected, expected_factor = ROPE_INIT_FUNCTIONS["yarn"](AutoConfig.for_model(**table), "cpu")
        np.testing.assert_allclose(frequencies, expected.numpy(), rtol=4e-6)
        assert factor == pytest.approx(expected_factor)

    @pytest.mark.parametrize("kind", ["yarn", "llama3"])
    def test_the_context_before_scaling(self, kind):
        rope = {"rope_type": kind, "factor": 2.0}
        if kind == "llama3":
            rope |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
        table = table_of("llama", rope_scaling=rope, max_position_embeddings=96)
        assert ModelConfig.from_hf(table).rope_scaling.original_max_position_embeddings == 96
        table |= {"original_max_position_embeddings": 48}
        assert ModelConfig.from_hf(table).rope_scaling.original_max_position_embeddings == 48
        table["rope_scaling"] = rope | {"original_max_position_embeddings": 47}
        with pytest.raises(DataError, match="is 48, and 47 in rope_scaling"):
            ModelConfig.from_hf(table)


@pytest.mark.parametrize(
    ("model_type", "change", "named"),
    [
        ("gemma2", {}, "model_type is 'gemma2'"),
        ("qwen3_moe", {}, "model_type is 'qwen3_moe'"),
        ("qwen2", {"num_experts": 8}, "num_experts = 8"),
        ("mistral", {"num_local_experts": 8}, "num_local_experts = 8"),
        ("llama", {"final_logit_softcapping": 30.0}, "final_logit_softcapping"),
        ("llama", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping"),
        ("llama", {"attention_chunk_size": 8192}, "attention_chunk_size"),
        ("qwen2", {"dual_chunk_attention_config": {"chunk_size": 9}}, "dual_chunk_attention_config"),
        ("qwen2", {"use_mrope": True}, "use_mrope"),
        ("llama", {"sliding_window": 8}, "sliding_window = 8"),
        ("llama", {"no_rope_layers": [1, 1, 1, 0]}, "no_rope_layers"),
        ("llama", {"attention_bias": "yes"}, "bias is 'yes'"),
        ("llama", {"qk_norm": True}, "qk_norm"),
        ("llama", {"value_embeddings": True}, "value_embeddings = True"),
        ("textmill", {}, "value_embeddings = False is not possible"),
        ("textmill", {"value_embeddings": "yes"}, "value_embeddings is 'yes'"),
        ("textmill", {"value_embeddings": True, "qk_norm": "no"}, "qk_norm is 'no'"),
        ("textmill", {"value_embeddings": True, "attention_bias": True}, "attention_bias = True"),
        ("textmill", {"value_embeddings": True, "sliding_window": 8}, "sliding_window = 8"),
        ("mistral", {"attention_bias": True}, "attention_bias = True"),
        ("mistral", {"mlp_bias": True}, "mlp_bias = True"),
        ("mistral", {"use_sliding_window": False}, "goes by the first alone"),
        ("mistral", {"layer_types": ["full_attention"] * 4}, "do not go together"),
        ("mistral", {"sliding_window": 0}, "sliding_window is 0"),
        ("mistral", {"sliding_window": 8.5}, "sliding_window is 8.5"),
        ("qwen2", {"attention_bias": False}, "attention_bias = False"),
        ("qwen2", {"layer_types": ["sliding_attention"] * 4}, "do not go together"),
        ("qwen2", {"use_sliding_window": "yes"}, "use_sliding_window is 'yes'"),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": "28"}, "max_window_layers is '28'"),
        ("qwen3", {"layer_types": ["full_attention"] * 3}, "names 3 layers, and num_hidden_layers is 4"),
        ("qwen3", {"layer_types": ["chunked_attention"] * 4}, "chunked_attention"),
        ("qwen3", {"layer_types": "full_attention"}, "layer_types = 'full_attention'"),
        ("qwen3", {"mlp_bias": True}, "mlp_bias = True"),
        ("smollm3", {"no_rope_layers": []}, "names 0 layers, and num_hidden_layers is 4"),
        ("smollm3", {"no_rope_layers": [1, 2, 1, 0]}, "no_rope_layers is"),
        ("smollm3", {"no_rope_layer_interval": 0}, "no_rope_layer_interval is 0"),
        ("llama", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        ("llama", {"rope_scaling": {"type": "longrope", "factor": 2.0}}, "'longrope'"),
        ("qwen2", {"rope_scaling": {"type": "mrope", "mrope_section": [1, 1]}}, "'mrope'"),
        ("llama", {"rope_scaling": {"rope_type": ["yarn"]}}, r"\['yarn'\]"),
        ("llama", {"rope_scaling": {"type": "linear"}}, "lacks factor"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0, "low_freq_factor": 1.0}}, "low_freq_factor"),
        ("llama", {"rope_scaling": {"rope_type": "llama3", "factor": 2.0}}, "lacks low_freq_factor, high_freq_factor"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 0.5}}, "factor is 0.5"),
        ("llama", {"rope_scaling": YARN | {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ("llama", {"rope_scaling": YARN | {"truncate": "no"}}, "truncate is 'no'"),
        ("llama", {"rope_scaling": YARN | {"factor": None, "original_max_position_embeddings": 0}}, "embeddings is 0"),
        ("llama", {"rope_scaling": YARN, "rope_parameters": YARN | {"factor": 3.0}}, "do not say the same"),
        ("llama", {"rope_scaling": YARN, "rope_parameters": YARN | {"rope_theta": 3.0}}, "do not say the same"),
        ("qwen3", {"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "full_attention"),
    ],
)
def test_refuses_by_name_what_it_cannot_reproduce(model_type, change, named):
    with pytest.raises(DataError, match=named):
        ModelConfig.from_hf(table_of(model_type, **change))
