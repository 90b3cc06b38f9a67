"""A model folder of a few kilobytes with random weights and a real tokenizer, written without torch."""

import functools

import numpy as np

from textmill import Tokenizer
from textmill.checkpoint.huggingface import save_model
from textmill.model.config import ModelConfig

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@functools.cache
def tokenizer():
    text = "the quick brown fox jumps over the lazy dog while seven wizards box. " * 20
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return Tokenizer.train(iter([text]), vocab_size=300, special_tokens=specials).with_chat_template(TEMPLATE)


def write_model(folder, **sizes):
    """Write it, its sizes laid over small ones; returns its configuration."""
    specials = tokenizer().special_tokens
    config = ModelConfig(
        **{
            "vocab_size": 304,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 256,
            "bos_token_id": specials["<|im_start|>"],
            "eos_token_id": specials["<|im_end|>"],
        }
        | sizes
    )
    rng = np.random.default_rng(1)
    tensors = {
        name: rng.standard_normal(shape).astype(np.float32) * 0.1 + (len(shape) == 1)
        for name, shape in config.tensor_shapes().items()
    }
    save_model(folder, config, {name: tensor.astype(np.float32) for name, tensor in tensors.items()}, tokenizer())
    return config
