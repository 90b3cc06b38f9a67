from textmill.model.config import ModelConfig
from textmill.model.flops import inference_flops_per_token, kv_cache_bytes, kv_cache_bytes_of, training_flops_per_token

LLAMA_7B = ModelConfig(
    vocab_size=32_000,
    hidden_size=4096,
    intermediate_size=11_008,
    num_hidden_layers=32,
    num_attention_heads=32,
    num_key_value_heads=32,
    head_dim=128,
)


def test_kv_cache_of_llama_7b():
    assert LLAMA_7B.num_parameters == 6_738_415_616
    assert kv_cache_bytes(LLAMA_7B, 10_000) == 5_242_880_000
    values, heads = 2 * 32 * 4096, 2 * 32 * 32
    for kv, per_token in (("f32", 4 * values), ("bf16", 2 * values), ("f16", 2 * values), ("int8", values + 4 * heads)):
        assert kv_cache_bytes_of(LLAMA_7B, 7, kv) == 7 * per_token


def test_flops_of_llama_7b():
    by_hand = 6 * (6_738_415_616 - 32_000 * 4096) + 12 * 32 * 4096 * 2048
    assert training_flops_per_token(LLAMA_7B, 2048) == by_hand
    assert inference_flops_per_token(LLAMA_7B, 2048) * 3 == by_hand


def test_a_window_bounds_what_is_attended_to(small_config):
    sizes = {"model_type": "mistral", "num_attention_heads": 4, "head_dim": 12}
    full, sliding = small_config(**sizes), small_config(**sizes, sliding_window=9, sliding_layers=(0, 1, 2))
    assert inference_flops_per_token(sliding, 64) == inference_flops_per_token(full, 9)
    assert inference_flops_per_token(sliding, 5) == inference_flops_per_token(full, 5)
    some = small_config(**sizes | {"model_type": "qwen2"}, qkv_bias=True, sliding_window=9, sliding_layers=(2,))
    attention = 4 * 4 * 12 * (2 * 64 + 9)
    assert inference_flops_per_token(some, 64) == 2 * (some.num_parameters - 101 * 48) + attention
    assert kv_cache_bytes(sliding, 64) == kv_cache_bytes(full, 64)


def test_a_tied_table_counts_as_the_head_it_is(small_config):
    tied, untied = small_config(tie_word_embeddings=True), small_config(tie_word_embeddings=False)
    assert training_flops_per_token(tied, 64) == training_flops_per_token(untied, 64)


def test_value_embeddings_are_looked_up_and_cost_nothing(small_config):
    plain, own = small_config(), small_config(model_type="textmill", value_embeddings=True)
    assert own.num_parameters - plain.num_parameters == 2 * 101 * 24
    assert training_flops_per_token(own, 64) == training_flops_per_token(plain, 64)
    assert kv_cache_bytes(own, 64) == kv_cache_bytes(plain, 64)
