"""Model folders of a few kilobytes: any family, weights drawn at random, a tokenizer trained on a few sentences."""

import functools

import numpy as np

from textmill import Tokenizer
from textmill.base.safetensors import BFLOAT16, float32_to_bfloat16
from textmill.checkpoint.huggingface import save_model
from textmill.model.config import ModelConfig

TEXT = [
    "The quick brown fox jumps over the lazy dog 1234567 times, doesn't it?\n\n\tnaïve café — 中文 ½ ",
    "def double(x): return 2 * x  # it's said\r\n   Привет мир, привет! 🤖👩‍👩‍👧 e\u0301 ٣٤\n \n",
    "she sells sea shells by the sea shore; the shells she sells are sea shells for sure. " * 3,
]
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BOS, EOS = 0, 2


@functools.cache
def tokenizer(pattern="smollm"):
    trained = Tokenizer.train(iter(TEXT * 3), vocab_size=300, pattern=pattern, special_tokens=SPECIALS)
    return trained.with_chat_template(TEMPLATE, bos_token="<|endoftext|>", eos_token="<|im_end|>")


def config(**changes):
    return ModelConfig(
        **{
            "vocab_size": 300,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "max_position_embeddings": 128,
            "bos_token_id": BOS,
            "eos_token_id": EOS,
            **changes,
        }
    )


def weights(sizes, seed=1, dtype="f32", scale=0.3):
    """Random tensors; norms around 1."""
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in sizes.tensor_shapes().items():
        values = rng.normal(size=shape).astype(np.float32) * np.float32(scale)
        if name.endswith("norm.weight"):
            values = 1 + values / 2
        tensors[name] = (
            float32_to_bfloat16(values) if dtype == "bf16" else values.astype({"f16": "f2"}.get(dtype, "f4"))
        )
    return tensors


def write_folder(folder, sizes=None, *, seed=1, dtype="f32", pattern="smollm", **options):
    sizes = config() if sizes is None else sizes
    save_model(folder, sizes, weights(sizes, seed, dtype), tokenizer(pattern), **options)
    return folder


def as_float32(array):
    if array.dtype == BFLOAT16:
        return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)
