"""Models of every family and kind of RoPE scaling: some by hand, and any by Hypothesis."""

from hypothesis import strategies as st

from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling

# Windows are shorter than the tests' texts, and RoPE scales contexts that are, too.
FAMILIES = {
    "llama-biases": {"qkv_bias": True, "o_bias": True, "mlp_bias": True},
    "llama-linear": {"rope_scaling": LinearScaling(factor=3.0)},
    "llama-3.1": {
        "rope_theta": 500_000.0,
        "rope_scaling": Llama3Scaling(
            factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=24
        ),
    },
    "llama-yarn": {"rope_scaling": YarnScaling(factor=4.0, original_max_position_embeddings=24, beta_fast=8.0)},
    "mistral": {"model_type": "mistral"},
    "mistral-window": {"model_type": "mistral", "sliding_window": 9, "sliding_layers": (0, 1, 2), "head_dim": 20},
    "qwen2": {"model_type": "qwen2", "qkv_bias": True, "tie_word_embeddings": True},
    "qwen2-window": {"model_type": "qwen2", "qkv_bias": True, "sliding_window": 5, "sliding_layers": (1, 2)},
    "qwen3": {"model_type": "qwen3", "qk_norm": True, "head_dim": 16, "hidden_size": 50, "num_key_value_heads": 1},
    "qwen3-all": {
        "model_type": "qwen3",
        "qk_norm": True,
        "qkv_bias": True,
        "o_bias": True,
        "sliding_window": 2,  # of 1 the cache of transformers 5.23 keeps all
        "sliding_layers": (0, 2),
        "rope_scaling": YarnScaling(factor=2.0, original_max_position_embeddings=48, attention_factor=1.3),
    },
    "smollm3": {"model_type": "smollm3", "nope_layers": (1,), "mlp_bias": True, "rope_theta": 2e6},
    "smollm3-window": {"model_type": "smollm3", "nope_layers": (2,), "sliding_window": 7, "sliding_layers": (2,)},
}

# What no class of transformers has.
OWN = {
    "own": {"model_type": "textmill", "value_embeddings": True, "qk_norm": True},
    "own-mqa": {
        "model_type": "textmill",
        "value_embeddings": True,
        "num_key_value_heads": 1,
        "head_dim": 10,
        "num_hidden_layers": 4,
        "tie_word_embeddings": True,
    },
}


def sizes(low, high):
    return st.integers(low, high)


def optional(values):
    return st.none() | values


LINEAR = st.builds(LinearScaling, factor=st.floats(1, 64))
YARN = st.builds(
    YarnScaling,
    factor=st.floats(1, 64),
    original_max_position_embeddings=sizes(1, 1 << 17),
    attention_factor=optional(st.floats(0.5, 2)),
    beta_fast=st.floats(16, 64),
    beta_slow=st.floats(0.1, 4),
    mscale=optional(st.floats(0, 2)),
    mscale_all_dim=optional(st.floats(0, 2)),
    truncate=st.booleans(),
)
LLAMA3 = st.builds(
    Llama3Scaling,
    factor=st.floats(1, 64),
    low_freq_factor=st.floats(0.5, 2),
    high_freq_factor=st.floats(4, 8),
    original_max_position_embeddings=sizes(1, 1 << 17),
)
ANY_SCALING = st.none() | LINEAR | LLAMA3 | YARN


@st.composite
def configs(draw, scaling=ANY_SCALING, *, own=False):
    """Any small model that its family can be; with ``own`` those that transformers does not have, too."""
    model_type = draw(st.sampled_from(["llama", "mistral", "qwen2", "qwen3", "smollm3", *(["textmill"] * own)]))
    kv_heads, per_head, num_layers = draw(sizes(1, 3)), draw(sizes(1, 3)), draw(sizes(1, 4))
    heads = kv_heads * per_head
    attention_bias = model_type in ("llama", "qwen3", "smollm3") and draw(st.booleans())
    layers = st.lists(sizes(0, num_layers - 1), unique=True).map(sorted).map(tuple)
    sliding = {"mistral": st.sampled_from([(), tuple(range(num_layers))])}
    sliding |= dict.fromkeys(("llama", "textmill"), st.just(()))
    sliding_layers = draw(sliding.get(model_type, layers))
    return ModelConfig(
        model_type=model_type,
        vocab_size=draw(sizes(8, 80)),
        hidden_size=heads * draw(sizes(8, 12)),  # of less width a norm is nearly a sign, which rounding turns
        intermediate_size=draw(sizes(1, 40)),
        num_hidden_layers=num_layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=2 * draw(sizes(1, 16)),
        max_position_embeddings=draw(sizes(64, 1 << 17)),
        rms_norm_eps=draw(st.sampled_from([1e-6, 1e-5])),
        rope_theta=draw(st.floats(100, 1e7)),
        tie_word_embeddings=draw(st.booleans()),
        bos_token_id=draw(optional(sizes(0, 7))),
        eos_token_id=draw(optional(sizes(0, 7) | st.lists(sizes(0, 7), min_size=1, max_size=3).map(tuple))),
        initializer_range=0.3,
        qkv_bias=attention_bias or model_type == "qwen2",
        o_bias=attention_bias,
        mlp_bias=model_type in ("llama", "smollm3") and draw(st.booleans()),
        qk_norm=model_type == "qwen3" or (model_type == "textmill" and draw(st.booleans())),
        value_embeddings=model_type == "textmill",
        rope_scaling=draw(scaling),
        nope_layers=draw(layers) if model_type == "smollm3" else (),
        sliding_window=draw(sizes(1, 40)) if sliding_layers else None,
        sliding_layers=sliding_layers,
    )
