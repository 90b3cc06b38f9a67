from textmill.model.config import ModelConfig
from textmill.model.flops import inference_flops_per_token, kv_cache_bytes, training_flops_per_token

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


def test_flops_of_llama_7b():
    by_hand = 6 * (6_738_415_616 - 32_000 * 4096) + 12 * 32 * 4096 * 2048
    assert training_flops_per_token(LLAMA_7B, 2048) == by_hand
    assert inference_flops_per_token(LLAMA_7B, 2048) * 3 == by_hand


def test_a_tied_table_counts_as_the_head_it_is(small_config):
    tied, untied = small_config(tie_word_embeddings=True), small_config(tie_word_embeddings=False)
    assert training_flops_per_token(tied, 64) == training_flops_per_token(untied, 64)
